package snstest_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// monitor is a session that holds the monitor right.
func monitor(t testing.TB, a *snstest.Appliance) *apiClient {
	t.Helper()
	c := connect(t, a)
	if ret := c.run("MODIFY MONITOR FORCE ON").ret(); ret != 100 {
		t.Fatalf("MODIFY MONITOR: ret %d", ret)
	}
	return c
}

func sources(a *snstest.Appliance) []netip.Prefix {
	var list []netip.Prefix
	for _, e := range a.Blacklist() {
		list = append(list, e.Source)
	}
	return list
}

func wantSources(t *testing.T, a *snstest.Appliance, want ...string) {
	t.Helper()
	var prefixes []netip.Prefix
	for _, p := range want {
		prefixes = append(prefixes, prefix(p))
	}
	if got := sources(a); !slices.Equal(got, prefixes) {
		t.Errorf("the blacklist is %v, want %v", got, prefixes)
	}
}

func TestAddBlocksAddressesAndNamesOfObjectsAndGroups(t *testing.T) {
	for name, want := range map[string][]string{
		"192.0.2.1":          {"192.0.2.1/32"},
		"2001:db8::1":        {"2001:db8::1/128"},
		"srv_web":            {"203.0.113.10/32"},
		"srv_backup":         {"192.168.10.5/32"},
		"srv_mail":           {"203.0.113.11/32"},
		"srv_dns6":           {"2001:db8:10::53/128"},
		"net_dmz":            {"203.0.113.0/28"},
		"net_guests":         {"10.20.0.0/16"},
		"internal_servers":   {"192.168.10.5/32", "203.0.113.0/28", "203.0.113.11/32"},
		"everything":         {"192.168.10.0/24", "192.168.10.5/32", "203.0.113.0/28", "203.0.113.11/32"},
		`"internal_servers"`: {"192.168.10.5/32", "203.0.113.0/28", "203.0.113.11/32"},
	} {
		t.Run(name, func(t *testing.T) {
			a := snstest.Start(t)
			c := monitor(t, a)
			c.want(100, "monitor AddressList add TYPE=blacklist NAME1="+name+" tImeout=60")
			wantSources(t, a, want...)
			c.want(100, "MONITOR ADDRESSLIST DELETE Type=BlackList Name1="+name)
			wantSources(t, a)
		})
	}
}

func TestAddRefusesInvalidArguments(t *testing.T) {
	a := snstest.Start(t)
	appendTo(t, a, snstest.GroupFile, "[empty]\n[hollow]\nempty\n")
	c := monitor(t, a)
	for _, arguments := range []string{
		"", "Type=BlackList Timeout=60", "Type=BlackList Name1=192.0.2.1", "Name1=192.0.2.1 Timeout=60",
		"Type=BlackList Name1=192.0.2.1 Timeout=0", "Type=BlackList Name1=192.0.2.1 Timeout=-1",
		"Type=BlackList Name1=192.0.2.1 Timeout=1h", "Type=WhiteList Name1=192.0.2.1 Timeout=60",
		"Type=BlackList Name1=192.0.2.1 Timeout=99999999999", "Type=BlackList Name1=nobody Timeout=60",
		"Type=BlackList Name1=192.0.2.0/24 Timeout=60", "Type=BlackList Name1=empty Timeout=60",
		"Type=BlackList Name1=hollow Timeout=60", "Type=BlackList Name1=dhcp_range Timeout=60",
		"Type=BlackList Name1=SRV_WEB Timeout=60", "Type=BlackList Name1=::ffff:192.0.2.1 Timeout=60",
		"Type=BlackList Name1=fe80::1%eth0 Timeout=60", `Type=BlackList Name1="192.0.2.1 Timeout=60`,
		"Type=BlackList Name1=192.0.2.1 Name1=192.0.2.2 Timeout=60", "Type=BlackList Name1=192.0.2.1 Name2=nobody Timeout=60",
	} {
		c.want(200, "MONITOR ADDRESSLIST ADD "+arguments)
	}
	c.want(200, "MONITOR ADDRESSLIST DELETE Type=BlackList Name1=nobody")
	wantSources(t, a)
	c.want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=192.0.2.1 Name2=srv_web Timeout=60")
	wantSources(t, a, "192.0.2.1/32")
}

func TestAddResolvesAGroupOnce(t *testing.T) {
	a := snstest.Start(t)
	first := monitor(t, a)
	first.want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=internal_servers Timeout=60")
	before := sources(a)
	appendTo(t, a, snstest.GroupFile, "[internal_servers]\nsrv_web\n")
	second := monitor(t, a)
	if got := sources(a); !slices.Equal(got, before) {
		t.Errorf("a member added later is blocked: %v", got)
	}
	second.want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=internal_servers Timeout=60")
	if !a.Blocked(addr("203.0.113.10")) {
		t.Error("the new member is not blocked after another ADD")
	}
}

func TestSessionSeesTheFilesAsTheyWereWhenItWasOpened(t *testing.T) {
	a := snstest.Start(t)
	old := monitor(t, a)
	if err := a.AdminEdit(snstest.ObjectFile, func(text []byte) []byte {
		return []byte(strings.Replace(string(text), "[Host]\n", "[Host]\nnew_host=192.0.2.77\n", 1))
	}); err != nil {
		t.Fatal(err)
	}
	appendTo(t, a, snstest.GroupFile, "[new_group]\nnew_host\n")
	for _, name := range []string{"new_host", "new_group"} {
		old.want(200, "MONITOR ADDRESSLIST ADD Type=BlackList Name1="+name+" Timeout=60")
	}
	monitor(t, a).want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=new_group Timeout=60")
	wantSources(t, a, "192.0.2.77/32")
}

func TestEntriesEndUnlessTheyAreRenewed(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t)
	c := monitor(t, a)
	c.block("192.0.2.1", 1)
	c.block("192.0.2.2", 1)
	c.block("192.0.2.2", 600)
	c.block("192.0.2.3", 600)
	c.block("192.0.2.3", 1) // renewed for less
	if got := len(a.Blacklist()); got != 3 {
		t.Fatalf("%d entries, want 3", got)
	}
	start := time.Now()
	gone, err := a.WaitUnblocked(t.Context(), prefix("192.0.2.1/32"))
	if err != nil || gone.Sub(start) > 5*time.Second {
		t.Fatalf("ended after %v, %v", gone.Sub(start), err)
	}
	if _, err := a.WaitUnblocked(t.Context(), prefix("192.0.2.3/32")); err != nil {
		t.Fatal(err)
	}
	wantSources(t, a, "192.0.2.2/32")
	e, ok := a.BlockedPrefix(prefix("192.0.2.2/32"))
	if left := time.Until(e.Expires); !ok || left < 500*time.Second || left > 600*time.Second {
		t.Errorf("%v left of the renewed entry", left)
	}
}

func TestTheEndOfAnEntryClosesBlacklistChanged(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t)
	c := monitor(t, a)
	c.block("192.0.2.1", 1)
	changed := a.BlacklistChanged()
	select {
	case <-changed:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing changed although the entry has ended")
	}
	if a.Blocked(addr("192.0.2.1")) {
		t.Error("still blocked")
	}
}

func TestWaitBlockedReturnsWhenTheEntryWasAdded(t *testing.T) {
	a := snstest.Start(t)
	c := monitor(t, a)
	before := time.Now()
	done := make(chan time.Time, 1)
	go func() {
		at, err := a.WaitBlocked(t.Context(), prefix("192.0.2.1/32"))
		if err != nil {
			t.Error(err)
		}
		done <- at
	}()
	c.block("192.0.2.9", 60)
	c.block("192.0.2.1", 60)
	after := time.Now()
	if at := <-done; at.Before(before) || at.After(after) {
		t.Errorf("blocked at %v, not between %v and %v", at, before, after)
	}
}

func TestShowPrintsALineForEachEntry(t *testing.T) {
	a := snstest.Start(t)
	c := monitor(t, a)
	c.block("4.3.2.1", 25)
	c.block("net_dmz", 1000)
	c.block("2001:db8::1", 1000)
	d := c.want(100, "MONITOR ADDRESSLIST SHOW type=blacklist")
	lines := strings.Split(strings.TrimSpace(d.Serverd[0].Data.Raw), "\n")
	if d.Serverd[0].Data.Format != "raw" || len(lines) != 3 {
		t.Fatalf("data %+v", d.Serverd[0].Data)
	}
	if first := "src=4.3.2.1 dstrange=0.0.0.0-255.255.255.255 timeout=2"; !strings.HasPrefix(lines[0], first) {
		t.Errorf("first line %q, want %s…", lines[0], first)
	}
	if !strings.HasPrefix(lines[1], "src=203.0.113.0/28 ") || !strings.HasPrefix(lines[2], "src=2001:db8::1 ") {
		t.Errorf("lines %q", lines[1:])
	}
}

func TestNetworkBlocksItsAddressesAndIsDeletedAlone(t *testing.T) {
	a := snstest.Start(t)
	c := monitor(t, a)
	c.block("net_dmz", 60)
	c.block("203.0.113.10", 60)
	if !a.Blocked(addr("203.0.113.15")) || !a.Blocked(addr("::ffff:203.0.113.1")) || a.Blocked(addr("203.0.113.16")) {
		t.Error("the network does not block exactly its addresses")
	}
	c.want(100, "MONITOR ADDRESSLIST DELETE Type=BlackList Name1=net_dmz")
	wantSources(t, a, "203.0.113.10/32")
	if a.Blocked(addr("203.0.113.15")) || !a.Blocked(addr("203.0.113.10")) {
		t.Error("the address left with the network")
	}
}

func TestDeleteWithoutAnEntrySucceedsUnlessAFaultRefusesIt(t *testing.T) {
	a := snstest.Start(t)
	c := monitor(t, a)
	c.want(100, "MONITOR ADDRESSLIST DELETE Type=BlackList Name1=192.0.2.1")
	a.SetFaults(func(f *snstest.Faults) { f.DeleteUnknownFails = true })
	c.want(200, "MONITOR ADDRESSLIST DELETE Type=BlackList Name1=192.0.2.1")
	c.block("192.0.2.1", 60)
	c.want(100, "MONITOR ADDRESSLIST DELETE Type=BlackList Name1=192.0.2.1")
}

func TestNoIPv6RefusesAddressesAndSkipsMembers(t *testing.T) {
	a := snstest.Start(t)
	appendTo(t, a, snstest.GroupFile, "[mixed]\nsrv_dns6\nsrv_web\n")
	c := monitor(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.NoIPv6 = true })
	c.want(200, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=2001:db8::1 Timeout=60")
	c.want(200, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=srv_dns6 Timeout=60")
	c.want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=mixed Timeout=60")
	wantSources(t, a, "203.0.113.10/32")
}

func TestGroupsThatContainEachOtherAreResolvedOnce(t *testing.T) {
	a := snstest.Start(t)
	appendTo(t, a, snstest.GroupFile, "[a]\nb\nsrv_web\n[b]\na\nsrv_mail\nsrv_web\n")
	monitor(t, a).want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=a Timeout=60")
	wantSources(t, a, "203.0.113.10/32", "203.0.113.11/32")
}
