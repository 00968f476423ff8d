package stormshield_test

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/snstest"
)

// named returns the commands with a group since the stats were reset.
func (h *harness) named(group string) []string {
	return slices.DeleteFunc(h.Sim.Stats().APICommands, func(c string) bool {
		return !strings.Contains(c+" ", "Name1="+group+" ")
	})
}

func (h *harness) renameObject(from netip.Prefix, to string) {
	h.T.Helper()
	if err := h.Sim.RenameObject(objects.Name(from), to); err != nil {
		h.T.Fatal(err)
	}
}

// dropLine removes a line from a file, as an administrator does.
func (h *harness) dropLine(file, line string) {
	h.T.Helper()
	err := h.Sim.AdminEdit(file, func(text []byte) []byte { return bytes.Replace(text, []byte(line+"\n"), nil, 1) })
	if err != nil {
		h.T.Fatal(err)
	}
}

// addMember adds a member to a group, as an administrator does.
func (h *harness) addMember(group, member string) {
	h.T.Helper()
	err := h.Sim.AdminEdit("objectgroup", func(text []byte) []byte {
		return bytes.Replace(text, []byte("["+group+"]\n"), []byte("["+group+"]\n"+member+"\n"), 1)
	})
	if err != nil {
		h.T.Fatal(err)
	}
}

func wantForeign(t *testing.T, err error, group, member string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "group "+group+" has members that this program did not make: "+member) ||
		!strings.Contains(err.Error(), "web administration") {
		t.Errorf("the flush says %v", err)
	}
}

func TestARenamedObjectIsNotBlockedAfterItsBanEnds(t *testing.T) {
	t.Parallel()
	h := start(t)
	bans := append(addresses(20), prefixes("203.0.113.0/24", "2001:db8:1::/48")...)
	h.MustFlush(bans, nil, true)
	h.renameObject(addresses(20)[7], "bad_guy") // while the state of the files is known
	h.Sim.ResetStats()

	_, err := h.Flush(nil, addresses(20)[7:8], true) // its ban ends
	wantForeign(t, err, "Crowdsec", "bad_guy")
	h.WantInForce()
	clear(h.Acknowledged)
	h.Sim.Reboot()
	done, err := h.Flush(addresses(40)[20:], addresses(5), true)
	wantForeign(t, err, "Crowdsec", "bad_guy")
	h.WantInForce()
	if done.Asserted.IsZero() || !done.Listed || !done.Cleared || done.Mark != "" {
		t.Errorf("done: asserted %v, listed %t, cleared %t, mark %q", done.Asserted, done.Listed, done.Cleared, done.Mark)
	}
	if named := h.named("Crowdsec"); len(named) > 0 {
		t.Errorf("the group was named: %q", named)
	}
	for _, line := range []string{"bad_guy=198.18.0.7,resolve=static\n", "\nbad_guy\n"} {
		if !bytes.Contains(slices.Concat(h.Sim.Read("object"), h.Sim.Read("objectgroup")), []byte(line)) {
			t.Errorf("the administrator's line %q is gone", line)
		}
	}
	for _, e := range h.Sim.Blacklist() {
		if left := time.Until(e.Expires); left < 23*time.Hour {
			t.Errorf("%s was re-asserted for %s", e.Source, left)
		}
	}

	h.dropLine("objectgroup", "bad_guy")
	done = h.MustFlush(nil, nil, true) // no warning any more
	h.WantInForce()
	if len(h.named("Crowdsec")) != 1 || done.Mark == "" {
		t.Errorf("without foreign members: %q, mark %q", h.named("Crowdsec"), done.Mark)
	}
}

func TestAGroupOfTheAdministratorIsNeverNamedAndKeepsItsLines(t *testing.T) {
	t.Parallel()
	h := start(t)
	config := configFor(t, h.Sim)
	config.Group, config.DeleteGroup = "internal_servers", "admin_stations"
	h.Client = stormshield.New(config)
	object, objectgroup := h.Sim.Read("object"), h.Sim.Read("objectgroup")
	bans := append(addresses(10), prefixes("203.0.113.0/24", "198.51.100.0/24")...)
	done, err := h.Flush(bans, nil, false)
	wantForeign(t, err, "internal_servers", "srv_backup")
	if !strings.Contains(err.Error(), "and group admin_stations") && !strings.Contains(err.Error(), "; group admin_stations has") {
		t.Errorf("the other group is not named: %v", err)
	}
	h.WantInForce()
	if len(done.Blocked) != len(bans) {
		t.Errorf("%d acknowledged, want %d", len(done.Blocked), len(bans))
	}
	done, err = h.Flush(nil, bans[2:], false) // many, and ranges
	wantForeign(t, err, "internal_servers", "srv_backup")
	h.WantInForce()
	if !done.Cleared || len(done.Unblocked) != len(bans)-2 {
		t.Errorf("%d acknowledged as unblocked, cleared %t", len(done.Unblocked), done.Cleared)
	}
	if named := slices.Concat(h.named("internal_servers"), h.named("admin_stations")); len(named) > 0 {
		t.Errorf("a group was named: %q", named)
	}
	_, err = h.Flush(nil, bans[:2], false)
	wantForeign(t, err, "internal_servers", "srv_backup")
	if !bytes.Equal(h.Sim.Read("object"), object) || !bytes.Equal(h.Sim.Read("objectgroup"), objectgroup) {
		t.Errorf("the administrator's lines changed:\n%s\n%s", h.Sim.Read("object"), h.Sim.Read("objectgroup"))
	}
}

func TestAFlushFindsANewForeignMemberBeforeItNamesTheGroup(t *testing.T) {
	t.Parallel()
	for _, group := range []string{"Crowdsec", "CrowdsecDeleteGroup"} {
		h := start(t)
		h.MustFlush(addresses(20), nil, true)
		if h.Mark == "" {
			t.Fatal("the state is not known")
		}
		h.addMember(group, "pc_admin")
		h.Sim.ResetStats()
		_, err := h.Flush(addresses(40)[20:], addresses(10), true)
		wantForeign(t, err, group, "pc_admin")
		h.WantInForce()
		if named := h.named(group); len(named) > 0 {
			t.Errorf("the group was named: %q", named)
		}
	}
}

func TestAFlushOneByOneContinuesWhereTheLastOneStopped(t *testing.T) {
	t.Parallel()
	h := start(t)
	config := configFor(t, h.Sim)
	config.OneByOneLimit = time.Nanosecond // one ban a flush
	h.Client = stormshield.New(config)
	bans := addresses(12)
	h.MustFlush(bans, nil, true)
	h.addMember("Crowdsec", "pc_admin")
	h.addMember("CrowdsecDeleteGroup", "pc_admin")
	h.Sim.Reboot()
	flushes := 0
	for asserted := false; !asserted; flushes++ {
		if flushes > len(bans) {
			t.Fatalf("after %d flushes the re-assert of %d bans is not done", flushes, len(bans))
		}
		done, err := h.Flush(nil, nil, true)
		wantForeign(t, err, "Crowdsec", "pc_admin")
		asserted = !done.Asserted.IsZero()
		if done.Unfinished == asserted || len(done.Blocked) != 1 {
			t.Fatalf("flush %d: unfinished %t, asserted %t, %d blocked", flushes, done.Unfinished, asserted, len(done.Blocked))
		}
	}
	if flushes != len(bans) {
		t.Errorf("it took %d flushes, want %d", flushes, len(bans))
	}
	h.WantInForce()

	for n := range bans {
		done, err := h.Flush(nil, bans[n:], false)
		wantForeign(t, err, "Crowdsec", "pc_admin")
		if !slices.Equal(done.Unblocked, bans[n:n+1]) && len(bans)-n > config.SingleMax {
			t.Fatalf("flush %d unblocked %v", n, done.Unblocked)
		}
		if done.Cleared {
			break
		}
	}
	h.WantInForce()
}

func TestAFlushUnblocksOthersIfTheApplianceRefusesOne(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(20), nil, true)
	h.addMember("CrowdsecDeleteGroup", "pc_admin")
	h.Sim.SetFaults(func(f *snstest.Faults) {
		f.Ret = map[string]int{"MONITOR ADDRESSLIST DELETE TYPE=BLACKLIST NAME1=198.18.0.3": 200}
	})
	done, err := h.Flush(nil, addresses(20), false)
	if err == nil || !strings.Contains(err.Error(), "unblock 198.18.0.3") || len(done.Unblocked) != 19 {
		t.Errorf("%d of 20 are unblocked: %v", len(done.Unblocked), err)
	}
	h.Sim.SetFaults(func(f *snstest.Faults) { *f = snstest.Faults{} })
	_, err = h.Flush(nil, addresses(20)[3:4], false)
	wantForeign(t, err, "CrowdsecDeleteGroup", "pc_admin")
	h.WantInForce()
}
