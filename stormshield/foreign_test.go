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

// named returns the commands that named a group since the stats were reset.
func (p *pair) named(group string) []string {
	return slices.DeleteFunc(p.sim.Stats().APICommands, func(c string) bool {
		return !strings.Contains(c+" ", "Name1="+group+" ")
	})
}

func (p *pair) renameObject(from netip.Prefix, to string) {
	p.t.Helper()
	if err := p.sim.RenameObject(objects.Name(from), to); err != nil {
		p.t.Fatal(err)
	}
}

// dropLine takes a line out of a file, as an administrator does.
func (p *pair) dropLine(file, line string) {
	p.t.Helper()
	err := p.sim.AdminEdit(file, func(text []byte) []byte { return bytes.Replace(text, []byte(line+"\n"), nil, 1) })
	if err != nil {
		p.t.Fatal(err)
	}
}

// addMember adds a member to a group, as an administrator does.
func (p *pair) addMember(group, member string) {
	p.t.Helper()
	err := p.sim.AdminEdit("objectgroup", func(text []byte) []byte {
		return bytes.Replace(text, []byte("["+group+"]\n"), []byte("["+group+"]\n"+member+"\n"), 1)
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func wantForeign(t *testing.T, err error, group, member string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "group "+group+" has members that this program did not make: "+member) ||
		!strings.Contains(err.Error(), "web administration") {
		t.Errorf("the flush says %v", err)
	}
}

func TestAMemberThatTheAdministratorRenamedIsBlockedNoLonger(t *testing.T) {
	p := start(t)
	bans := append(addresses(20), prefixes("203.0.113.0/24", "2001:db8:1::/48")...)
	p.mustFlush(bans, nil, true)
	p.renameObject(addresses(20)[7], "bad_guy") // while the state of the files is known
	p.sim.ResetStats()

	_, err := p.flush(nil, addresses(20)[7:8], true) // its ban ends
	wantForeign(t, err, "Crowdsec", "bad_guy")
	p.wantStanding()
	clear(p.acknowledged)
	p.sim.Reboot()
	done, err := p.flush(addresses(40)[20:], addresses(5), true)
	wantForeign(t, err, "Crowdsec", "bad_guy")
	p.wantStanding()
	if done.Asserted.IsZero() || !done.Listed || !done.Cleared || done.Mark != "" {
		t.Errorf("done: asserted %v, listed %t, cleared %t, mark %q", done.Asserted, done.Listed, done.Cleared, done.Mark)
	}
	if named := p.named("Crowdsec"); len(named) > 0 {
		t.Errorf("the group was named: %q", named)
	}
	for _, line := range []string{"bad_guy=198.18.0.7,resolve=static\n", "\nbad_guy\n"} {
		if !bytes.Contains(slices.Concat(p.sim.Read("object"), p.sim.Read("objectgroup")), []byte(line)) {
			t.Errorf("the administrator's line %q is gone", line)
		}
	}
	for _, e := range p.sim.Blacklist() {
		if left := time.Until(e.Expires); left < 23*time.Hour {
			t.Errorf("%s was re-asserted for %s", e.Source, left)
		}
	}

	p.dropLine("objectgroup", "bad_guy")
	done = p.mustFlush(nil, nil, true) // no warning any more
	p.wantStanding()
	if len(p.named("Crowdsec")) != 1 || done.Mark == "" {
		t.Errorf("without foreign members: %q, mark %q", p.named("Crowdsec"), done.Mark)
	}
}

func TestAGroupOfTheAdministratorIsNeverNamedAndKeepsItsLines(t *testing.T) {
	p := start(t)
	config := configFor(t, p.sim)
	config.Group, config.DeleteGroup = "internal_servers", "admin_stations"
	p.app = stormshield.New(config)
	object, objectgroup := p.sim.Read("object"), p.sim.Read("objectgroup")
	bans := append(addresses(10), prefixes("203.0.113.0/24", "198.51.100.0/24")...)
	done, err := p.flush(bans, nil, false)
	wantForeign(t, err, "internal_servers", "srv_backup")
	if !strings.Contains(err.Error(), "and group admin_stations") && !strings.Contains(err.Error(), "; group admin_stations has") {
		t.Errorf("the other group is not named: %v", err)
	}
	p.wantStanding()
	if len(done.Blocked) != len(bans) {
		t.Errorf("%d acknowledged, want %d", len(done.Blocked), len(bans))
	}
	done, err = p.flush(nil, bans[2:], false) // many, and ranges
	wantForeign(t, err, "internal_servers", "srv_backup")
	p.wantStanding()
	if !done.Cleared || len(done.Unblocked) != len(bans)-2 {
		t.Errorf("%d acknowledged as unblocked, cleared %t", len(done.Unblocked), done.Cleared)
	}
	if named := slices.Concat(p.named("internal_servers"), p.named("admin_stations")); len(named) > 0 {
		t.Errorf("a group was named: %q", named)
	}
	_, err = p.flush(nil, bans[:2], false)
	wantForeign(t, err, "internal_servers", "srv_backup")
	if !bytes.Equal(p.sim.Read("object"), object) || !bytes.Equal(p.sim.Read("objectgroup"), objectgroup) {
		t.Errorf("the administrator's lines changed:\n%s\n%s", p.sim.Read("object"), p.sim.Read("objectgroup"))
	}
}

func TestAMemberAddedWhileTheStateIsKnownIsSeenBeforeTheGroupIsNamed(t *testing.T) {
	for _, group := range []string{"Crowdsec", "CrowdsecDeleteGroup"} {
		p := start(t)
		p.mustFlush(addresses(20), nil, true)
		if p.mark == "" {
			t.Fatal("the state is not known")
		}
		p.addMember(group, "pc_admin")
		p.sim.ResetStats()
		_, err := p.flush(addresses(40)[20:], addresses(10), true)
		wantForeign(t, err, group, "pc_admin")
		p.wantStanding()
		if named := p.named(group); len(named) > 0 {
			t.Errorf("the group was named: %q", named)
		}
	}
}

func TestAFlushOneByOneGoesOnWhereTheLastOneStopped(t *testing.T) {
	p := start(t)
	config := configFor(t, p.sim)
	config.OneByOneLimit = time.Nanosecond // one ban a flush
	p.app = stormshield.New(config)
	bans := addresses(12)
	p.mustFlush(bans, nil, true)
	p.addMember("Crowdsec", "pc_admin")
	p.addMember("CrowdsecDeleteGroup", "pc_admin")
	p.sim.Reboot()
	flushes := 0
	for asserted := false; !asserted; flushes++ {
		if flushes > len(bans) {
			t.Fatalf("after %d flushes the re-assert of %d bans is not done", flushes, len(bans))
		}
		done, err := p.flush(nil, nil, true)
		wantForeign(t, err, "Crowdsec", "pc_admin")
		asserted = !done.Asserted.IsZero()
		if done.Unfinished == asserted || len(done.Blocked) != 1 {
			t.Fatalf("flush %d: unfinished %t, asserted %t, %d blocked", flushes, done.Unfinished, asserted, len(done.Blocked))
		}
	}
	if flushes != len(bans) {
		t.Errorf("it took %d flushes, want %d", flushes, len(bans))
	}
	p.wantStanding()

	for n := range bans {
		done, err := p.flush(nil, bans[n:], false)
		wantForeign(t, err, "Crowdsec", "pc_admin")
		if !slices.Equal(done.Unblocked, bans[n:n+1]) && len(bans)-n > config.SingleMax {
			t.Fatalf("flush %d unblocked %v", n, done.Unblocked)
		}
		if done.Cleared {
			break
		}
	}
	p.wantStanding()
}

func TestAnEntryThatCannotBeUnblockedKeepsNoOtherBlocked(t *testing.T) {
	p := start(t)
	p.mustFlush(addresses(20), nil, true)
	p.addMember("CrowdsecDeleteGroup", "pc_admin")
	p.sim.SetFaults(func(f *snstest.Faults) {
		f.Ret = map[string]int{"MONITOR ADDRESSLIST DELETE TYPE=BLACKLIST NAME1=198.18.0.3": 200}
	})
	done, err := p.flush(nil, addresses(20), false)
	if err == nil || !strings.Contains(err.Error(), "unblock 198.18.0.3") || len(done.Unblocked) != 19 {
		t.Errorf("%d of 20 are unblocked: %v", len(done.Unblocked), err)
	}
	p.sim.SetFaults(func(f *snstest.Faults) { *f = snstest.Faults{} })
	_, err = p.flush(nil, addresses(20)[3:4], false)
	wantForeign(t, err, "CrowdsecDeleteGroup", "pc_admin")
	p.wantStanding()
}
