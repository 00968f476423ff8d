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

// rename gives the client another group, and returns a flush that knows the old
// one and nothing else.
func (p *pair) rename(group string, old ...string) func() (appliance.Outcome, error) {
	config := configFor(p.t, p.sim)
	config.Group = group
	p.app = stormshield.New(config)
	return func() (appliance.Outcome, error) {
		add := slices.SortedFunc(maps.Keys(p.standing), netip.Prefix.Compare)
		change := appliance.Change{Pending: appliance.Pending{Add: add, InForce: len(add)}, Reassert: true, Begin: begun, AllInForce: p.all, OldGroups: old}
		done, err := p.app.Apply(p.t.Context(), change)
		p.mark = done.Mark
		return done, err
	}
}

// members are the lines of a group in the file; nil: there is no such group.
func (p *pair) members(group string) []string {
	_, text, found := strings.Cut(string(p.sim.Read("objectgroup")), "["+group+"]\n")
	if !found {
		return nil
	}
	text, _, _ = strings.Cut(text, "[")
	return append([]string{}, strings.Fields(text)...)
}

func TestARenamedGroupLeavesNothingOfTheOldOne(t *testing.T) {
	for _, missing := range [][]string{nil, {"awk"}} {
		p := start(t)
		p.sim.SetFaults(func(f *snstest.Faults) { f.MissingTools = missing })
		p.mustFlush(append(addresses(10), prefixes("203.0.113.0/24")...), nil, true)
		for _, ended := range append(addresses(3), prefixes("203.0.113.0/24")...) { // while the plugin does not run
			delete(p.standing, ended)
		}
		done, err := p.rename("Blocked", "Crowdsec")()
		if err != nil || !done.OldGroupsGone || !done.Cleared || len(done.Kept) > 0 || len(done.Unblocked) != 4 {
			t.Errorf("without %v: %+v, %v", missing, done, err)
		}
		p.wantStanding()
		if old, now := p.members("Crowdsec"), p.members("Blocked"); old != nil || len(now) != 7 {
			t.Errorf("without %v: the old group lists %v, the new one %v", missing, old, now)
		}
		if text := string(p.sim.Read("object")); strings.Contains(text, "crowdsec_net_") {
			t.Errorf("without %v: the object of an ended ban stays:\n%s", missing, text)
		}
		p.mustFlush(prefixes("192.0.2.1/32"), nil, false) // the files are known after it
		p.wantStanding()
	}
}

func TestARenamedGroupUnblocksNothingInForce(t *testing.T) {
	p := start(t)
	p.mustFlush(addresses(20), nil, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	unblocked := make(chan netip.Prefix, 1)
	go func() {
		for {
			changed := p.sim.BlacklistChanged()
			for _, b := range addresses(20) {
				if _, ok := p.sim.BlockedPrefix(b); !ok {
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
	if _, err := p.rename("Blocked", "Crowdsec")(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if b, lost := <-unblocked; lost {
		t.Errorf("%s was unblocked", b)
	}
}

func TestForeignMembersOfAnOldGroupStayByteForByte(t *testing.T) {
	p := start(t)
	before := p.sim.Read("objectgroup")
	lines := []byte("srv_web\n# by hand\n srv_mail #\"x\"\n")
	p.mustFlush(addresses(10), nil, true)
	err := p.sim.AdminEdit("objectgroup", func(text []byte) []byte {
		return bytes.Replace(text, []byte("[Crowdsec]\n"), append([]byte("[Crowdsec]\n"), lines...), 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	done, err := p.rename("Blocked", "Crowdsec")()
	if err != nil || !done.OldGroupsGone || len(done.Kept) != 1 || !strings.Contains(done.Kept[0], "group Crowdsec: it has members that this program did not make, such as srv_web") {
		t.Errorf("%+v, %v", done, err)
	}
	p.wantBlacklist()
	text := p.sim.Read("objectgroup")
	if !bytes.Contains(text, append([]byte("[Crowdsec]\n"), lines...)) || !bytes.HasPrefix(text, before) {
		t.Errorf("the file of groups is now:\n%s", text)
	}
	if n := strings.Count(string(text), "crowdsec_ip_"); n != 10 {
		t.Errorf("%d members of ours in all groups, want 10:\n%s", n, text)
	}
}

func TestARenamedGroupThatFailsIsFinishedByTheNextFlush(t *testing.T) {
	for what, fault := range map[string]func(*snstest.Faults){
		"block":   func(f *snstest.Faults) { f.Ret = map[string]int{"MONITOR ADDRESSLIST ADD": 500} },
		"unblock": func(f *snstest.Faults) { f.Ret = map[string]int{"MONITOR ADDRESSLIST DELETE": 500} },
		"write":   func(f *snstest.Faults) { f.ReadOnlyDir = true },
	} {
		t.Run(what, func(t *testing.T) {
			p := start(t)
			p.mustFlush(addresses(10), nil, true)
			for _, ended := range addresses(6) {
				delete(p.standing, ended)
			}
			flush := p.rename("Blocked", "Crowdsec")
			p.sim.SetFaults(fault)
			if done, err := flush(); err == nil || done.OldGroupsGone {
				t.Fatalf("a flush with the fault: %+v, %v", done, err)
			}
			p.sim.SetFaults(func(f *snstest.Faults) { *f = snstest.Faults{} })
			if done, err := flush(); err != nil || !done.OldGroupsGone {
				t.Fatalf("the next flush: %+v, %v", done, err)
			}
			p.wantStanding()
			if old := p.members("Crowdsec"); old != nil {
				t.Errorf("the old group lists %v", old)
			}
		})
	}
}

func TestGroupsThatChangePlacesAreNotOld(t *testing.T) {
	p := start(t)
	p.mustFlush(addresses(10), nil, true)
	config := configFor(t, p.sim)
	config.Group, config.DeleteGroup = config.DeleteGroup, config.Group
	p.app, p.mark = stormshield.New(config), ""
	p.mustFlush(nil, nil, true)
	p.wantStanding()
	if got := len(p.members("CrowdsecDeleteGroup")); got != 10 {
		t.Errorf("the group of bans has %d members, want 10", got)
	}
	if got := p.members("Crowdsec"); len(got) != 0 {
		t.Errorf("the other group lists %v", got)
	}
}

func TestCleanupRemovesOldGroupsToo(t *testing.T) {
	p := start(t)
	before := p.sim.Read("objectgroup")
	p.mustFlush(addresses(10), nil, true)
	p.standing = map[netip.Prefix]bool{}
	p.rename("Blocked")
	if _, err := p.app.Cleanup(t.Context(), nil, "Crowdsec", "Never"); err != nil {
		t.Fatal(err)
	}
	p.wantBlacklist()
	if after := p.sim.Read("objectgroup"); !bytes.Equal(before, after) {
		t.Errorf("the file of groups is now:\n%s", after)
	}
}

// serial is a flush of one more ban that expects a serial number.
func (p *pair) serial(expected string, more netip.Prefix) (appliance.Outcome, error) {
	p.standing[more] = true
	return p.app.Apply(p.t.Context(), appliance.Change{
		Pending: appliance.Pending{Block: []appliance.Ban{{Prefix: more, Until: time.Now().Add(time.Hour)}}, Add: []netip.Prefix{more}, InForce: 1},
		Begin:   begun, AllInForce: p.all, AskSerial: true, Serial: expected,
	})
}

func TestAnotherSerialNumberEndsAFlushBeforeAnythingIsBlocked(t *testing.T) {
	p := start(t)
	p.sim.SetFaults(func(f *snstest.Faults) { f.SerialNumber = "OTHER" })
	done, err := p.serial(snstest.DefaultSerialNumber, addresses(1)[0])
	var other *appliance.OtherApplianceError
	if !errors.As(err, &other) || other.Serial != "OTHER" || other.Expected != snstest.DefaultSerialNumber || len(done.Blocked) > 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if p.sim.BlacklistLen() > 0 {
		t.Error("something was blocked")
	}
	if done, err := p.serial("OTHER", addresses(1)[0]); err != nil || done.Serial != "OTHER" {
		t.Errorf("with the number that it has: %+v, %v", done, err)
	}
	p.wantStanding()
}

func TestAnApplianceThatDoesNotTellItsSerialNumberIsNoFault(t *testing.T) {
	for what, fault := range map[string]func(*snstest.Faults){
		"refuses the command": func(f *snstest.Faults) { f.Ret = map[string]int{"SYSTEM PROPERTY": 205} },
		"has none":            func(f *snstest.Faults) { f.NoSerialNumber = true },
	} {
		p := start(t)
		p.sim.SetFaults(fault)
		if done, err := p.serial("A", addresses(1)[0]); err != nil || done.Serial != "" {
			t.Errorf("an appliance that %s: %+v, %v", what, done, err)
		}
		p.wantStanding()
	}
}
