package stormshield_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/snstest"
)

// rename configures another group. It returns a flush that knows the old groups and no state.
func (h *harness) rename(group string, old ...string) func() (appliance.Outcome, error) {
	config := configFor(h.T, h.Sim)
	config.Group = group
	h.Client = stormshield.New(config)
	return func() (appliance.Outcome, error) {
		add := slices.SortedFunc(maps.Keys(h.InForce), netip.Prefix.Compare)
		change := appliance.Change{Pending: appliance.Pending{Add: add, InForce: len(add)}, Files: true, Reassert: true, Permit: h.Permit, Begin: begun,
			AllInForce: h.AllInForce, OldGroups: old}
		done, err := h.Client.Apply(h.T.Context(), change)
		h.Mark = done.Mark
		return done, err
	}
}

// members are the lines of a group in the file; nil: there is no such group.
func (h *harness) members(group string) []string {
	_, text, found := strings.Cut(string(h.Sim.Read("objectgroup")), "["+group+"]\n")
	if !found {
		return nil
	}
	text, _, _ = strings.Cut(text, "[")
	return append([]string{}, strings.Fields(text)...)
}

func TestARenamedGroupLeavesNothingOfTheOldOne(t *testing.T) {
	t.Parallel()
	for _, missing := range [][]string{nil, {"awk"}} {
		h := start(t)
		h.Sim.SetFaults(func(f *snstest.Faults) { f.MissingTools = missing })
		h.MustFlush(append(addresses(10), prefixes("203.0.113.0/24")...), nil, true)
		for _, ended := range append(addresses(3), prefixes("203.0.113.0/24")...) { // while the plugin does not run
			delete(h.InForce, ended)
		}
		done, err := h.rename("Blocked", "Crowdsec")()
		if err != nil || !done.OldGroupsGone || !done.Cleared || len(done.Kept) > 0 || len(done.Unblocked) != 4 {
			t.Errorf("without %v: %+v, %v", missing, done, err)
		}
		h.WantInForce()
		if old, now := h.members("Crowdsec"), h.members("Blocked"); old != nil || len(now) != 7 {
			t.Errorf("without %v: the old group lists %v, the new one %v", missing, old, now)
		}
		if text := string(h.Sim.Read("object")); strings.Contains(text, "crowdsec_net_") {
			t.Errorf("without %v: the object of an ended ban stays:\n%s", missing, text)
		}
		h.MustFlush(prefixes("192.0.2.1/32"), nil, false) // the files are known after it
		h.WantInForce()
	}
}

func TestARenamedGroupUnblocksNothingInForce(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(20), nil, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	unblocked := make(chan netip.Prefix, 1)
	go func() {
		for {
			changed := h.Sim.BlacklistChanged()
			for _, b := range addresses(20) {
				if _, ok := h.Sim.BlockedPrefix(b); !ok {
					unblocked <- b
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				close(unblocked)
				return
			}
		}
	}()
	if _, err := h.rename("Blocked", "Crowdsec")(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if b, lost := <-unblocked; lost {
		t.Errorf("%s was unblocked", b)
	}
}

func TestForeignMembersOfAnOldGroupStayByteForByte(t *testing.T) {
	t.Parallel()
	h := start(t)
	before := h.Sim.Read("objectgroup")
	lines := []byte("srv_web\n# by hand\n srv_mail #\"x\"\n")
	h.MustFlush(addresses(10), nil, true)
	err := h.Sim.AdminEdit("objectgroup", func(text []byte) []byte {
		return bytes.Replace(text, []byte("[Crowdsec]\n"), append([]byte("[Crowdsec]\n"), lines...), 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	done, err := h.rename("Blocked", "Crowdsec")()
	if err != nil || !done.OldGroupsGone || len(done.Kept) != 1 || !strings.Contains(done.Kept[0], "group Crowdsec: it has members that this program did not make, such as srv_web") {
		t.Errorf("the flush did %+v, want one group kept: %v", done, err)
	}
	h.WantBlacklist()
	text := h.Sim.Read("objectgroup")
	if !bytes.Contains(text, append([]byte("[Crowdsec]\n"), lines...)) || !bytes.HasPrefix(text, before) {
		t.Errorf("the file of groups is now:\n%s", text)
	}
	if n := strings.Count(string(text), "crowdsec_ip_"); n != 10 {
		t.Errorf("%d members of ours in all groups, want 10:\n%s", n, text)
	}
}

func TestARenamedGroupThatFailsIsFinishedByTheNextFlush(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]func(*snstest.Faults){
		"block":   func(f *snstest.Faults) { f.Ret = map[string]int{"MONITOR ADDRESSLIST ADD": 500} },
		"unblock": func(f *snstest.Faults) { f.Ret = map[string]int{"MONITOR ADDRESSLIST DELETE": 500} },
		"write":   func(f *snstest.Faults) { f.ReadOnlyDir = true },
	} {
		t.Run(what, func(t *testing.T) {
			h := start(t)
			h.MustFlush(addresses(10), nil, true)
			for _, ended := range addresses(6) {
				delete(h.InForce, ended)
			}
			flush := h.rename("Blocked", "Crowdsec")
			h.Sim.SetFaults(fault)
			if done, err := flush(); err == nil || done.OldGroupsGone {
				t.Fatalf("a flush with the fault: %+v, %v", done, err)
			}
			h.Sim.SetFaults(func(f *snstest.Faults) { *f = snstest.Faults{} })
			if done, err := flush(); err != nil || !done.OldGroupsGone {
				t.Fatalf("the next flush: %+v, %v", done, err)
			}
			h.WantInForce()
			if old := h.members("Crowdsec"); old != nil {
				t.Errorf("the old group lists %v", old)
			}
		})
	}
}

func TestGroupsThatSwapTheirNamesAreNotOld(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(10), nil, true)
	config := configFor(t, h.Sim)
	config.Group, config.DeleteGroup = config.DeleteGroup, config.Group
	h.Client, h.Mark = stormshield.New(config), ""
	h.MustFlush(nil, nil, true)
	h.WantInForce()
	if got := len(h.members("CrowdsecDeleteGroup")); got != 10 {
		t.Errorf("the group of bans has %d members, want 10", got)
	}
	if got := h.members("Crowdsec"); len(got) != 0 {
		t.Errorf("the other group lists %v", got)
	}
}

func TestCleanupRemovesOldGroupsToo(t *testing.T) {
	t.Parallel()
	h := start(t)
	before := h.Sim.Read("objectgroup")
	h.MustFlush(addresses(10), nil, true)
	h.InForce = map[netip.Prefix]bool{}
	h.rename("Blocked")
	if _, err := h.Client.Cleanup(t.Context(), nil, "Crowdsec", "Never"); err != nil {
		t.Fatal(err)
	}
	h.WantBlacklist()
	if after := h.Sim.Read("objectgroup"); !bytes.Equal(before, after) {
		t.Errorf("the file of groups is now:\n%s", after)
	}
}

// serial blocks one more ban in a flush that expects a serial number.
func (h *harness) serial(expected string, more netip.Prefix) (appliance.Outcome, error) {
	h.InForce[more] = true
	return h.Client.Apply(h.T.Context(), appliance.Change{
		Pending: appliance.Pending{Block: []appliance.Ban{{Prefix: more, Until: time.Now().Add(time.Hour)}}, Add: []netip.Prefix{more}, InForce: 1},
		Files:   true, Begin: begun, AllInForce: h.AllInForce, AskSerial: true, Serial: expected,
	})
}

func TestAnotherSerialNumberEndsAFlushBeforeAnythingIsBlocked(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.SerialNumber = "OTHER" })
	done, err := h.serial(snstest.DefaultSerialNumber, addresses(1)[0])
	var other *appliance.OtherApplianceError
	if !errors.As(err, &other) || other.Serial != "OTHER" || other.Expected != snstest.DefaultSerialNumber || len(done.Blocked) > 0 {
		t.Errorf("the flush did %+v and returned %v, want an OtherApplianceError", done, err)
	}
	if h.Sim.BlacklistLen() > 0 {
		t.Error("something was blocked")
	}
	if done, err := h.serial("OTHER", addresses(1)[0]); err != nil || done.Serial != "OTHER" {
		t.Errorf("with the number that it has: %+v, %v", done, err)
	}
	h.WantInForce()
}

func TestAMissingSerialNumberIsNoError(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]func(*snstest.Faults){
		"refuses the command": func(f *snstest.Faults) { f.Ret = map[string]int{"SYSTEM PROPERTY": 205} },
		"has none":            func(f *snstest.Faults) { f.NoSerialNumber = true },
	} {
		h := start(t)
		h.Sim.SetFaults(fault)
		if done, err := h.serial("A", addresses(1)[0]); err != nil || done.Serial != "" {
			t.Errorf("an appliance that %s: %+v, %v", what, done, err)
		}
		h.WantInForce()
	}
}
