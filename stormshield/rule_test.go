package stormshield_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/snstest"
)

const ruleText = "block from Crowdsec to any # crowdsec-stormshield crowdsec: bans as source, block, log none"

// ruled is an appliance whose filter rule enforces.
type ruled struct {
	t      *testing.T
	sim    *snstest.Appliance
	config stormshield.Config
	mark   string
}

func startRuled(t *testing.T, alone bool, policy ...string) *ruled {
	t.Helper()
	sim := snstest.Start(t)
	r := &ruled{t: t, sim: sim, config: configFor(t, sim)}
	r.config.Rule = stormshield.Rule{Enforces: true, Alone: alone, AsSource: true, Activate: []string{"enobject", "enfilter -u"}}
	if err := stormshield.New(r.config).WriteGroups(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sim.SetPolicy(5, append(policy, "pass from any to any")...); err != nil {
		t.Fatal(err)
	}
	return r
}

// flush applies a change. inForce are all bans in force; they are blocked too unless the rule enforces alone.
func (r *ruled) flush(change appliance.Change, inForce ...netip.Prefix) (appliance.Outcome, error) {
	r.t.Helper()
	for _, p := range inForce {
		if !r.config.Rule.Alone {
			change.Block = append(change.Block, appliance.Ban{Prefix: p, Until: time.Now().Add(time.Hour)})
		}
	}
	change.Files, change.Mark, change.InForce = true, r.mark, len(inForce)
	change.Begin, change.BeginActivation = flushtest.Begin, flushtest.Begin
	change.AllInForce = func(context.Context, []netip.Prefix) ([]netip.Prefix, error) { return slices.Clone(inForce), nil }
	done, err := stormshield.New(r.config).Apply(r.t.Context(), change)
	r.mark = done.Mark
	return done, err
}

func (r *ruled) wantPacket(when, source, want string) {
	r.t.Helper()
	if got := r.sim.Packet(netip.MustParseAddr(source), netip.MustParseAddr("192.0.2.80")); got.Action != want {
		r.t.Errorf("%s: a packet of %s meets %+v, want %s", when, source, got, want)
	}
}

func TestAFlushActivatesTheRuleWhenItMay(t *testing.T) {
	t.Parallel()
	r := startRuled(t, true, ruleText)
	bans := prefixes("198.51.100.0/24", "203.0.113.1/32")
	done, err := r.flush(appliance.Change{Pending: appliance.Pending{Add: bans}}, bans...)
	if err != nil || !done.Changed || !done.Activated.IsZero() {
		t.Fatalf("%+v, %v", done, err)
	}
	r.wantPacket("before the activation", "203.0.113.1", "pass")
	done, err = r.flush(appliance.Change{Stale: true, Activate: true}, bans...)
	if err != nil || done.Changed || done.Activated.IsZero() {
		t.Fatalf("%+v, %v", done, err)
	}
	r.wantPacket("after it", "203.0.113.1", "block")
	r.wantPacket("after it", "198.51.100.77", "block")
	r.wantPacket("after it", "203.0.113.2", "pass")
	if n := r.sim.Stats().APILoginsOK; n > 0 || len(r.sim.Blacklist()) > 0 {
		t.Errorf("%d logins to the API, and the blacklist has %v", n, r.sim.Blacklist())
	}
	if done, err = r.flush(appliance.Change{Activate: true}, bans...); err != nil || !done.Activated.IsZero() {
		t.Errorf("nothing to activate: %+v, %v", done, err)
	}
	if _, err = r.flush(appliance.Change{Pending: appliance.Pending{Remove: bans[1:]}, Activate: true}, bans[0]); err != nil {
		t.Fatal(err)
	}
	r.wantPacket("after the end", "203.0.113.1", "pass")
	r.wantPacket("after the end of another ban", "198.51.100.77", "block")
}

func TestTheEntriesGoOnlyIfARuleInForceNamesTheGroup(t *testing.T) {
	t.Parallel()
	for what, prepare := range map[string]func(*ruled){
		"by the group": func(*ruled) {},
		"one by one": func(r *ruled) {
			r.sim.SetFaults(func(f *snstest.Faults) {
				f.Ret = map[string]int{"MONITOR ADDRESSLIST DELETE TYPE=BLACKLIST NAME1=CROWDSEC": 200}
			})
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := startRuled(t, false)
			bans := addresses(6)
			if _, err := r.flush(appliance.Change{Pending: appliance.Pending{Add: bans}}, bans...); err != nil || len(r.sim.Blacklist()) != 6 {
				t.Fatal(err)
			}
			r.config.Rule.Alone = true
			change := appliance.Change{Pending: appliance.Pending{EntriesLeft: true}, Stale: true}
			if err := r.sim.SetPolicy(5, ruleText); err != nil {
				t.Fatal(err)
			}
			if done, err := r.flush(change, bans...); err != nil || done.EntriesGone || len(r.sim.Blacklist()) != 6 {
				t.Errorf("before the activation: %+v, %v; the blacklist has %v", done, err, r.sim.Blacklist())
			}
			if err := r.sim.SetPolicy(5, "pass from any to any"); err != nil {
				t.Fatal(err)
			}
			change.Activate = true
			done, err := r.flush(change, bans...)
			if err == nil || !strings.Contains(err.Error(), "no filter rule in force names the group Crowdsec as source") || !done.RuleMissing {
				t.Errorf("%+v, %v", done, err)
			}
			if len(r.sim.Blacklist()) != 6 {
				t.Errorf("the blacklist has %v", r.sim.Blacklist())
			}
			if err := r.sim.SetPolicy(5, ruleText); err != nil {
				t.Fatal(err)
			}
			prepare(r)
			done, err = r.flush(change, bans...)
			if err != nil || !done.EntriesGone || len(r.sim.Blacklist()) > 0 {
				t.Errorf("%+v, %v; the blacklist has %v", done, err, r.sim.Blacklist())
			}
			r.wantPacket("at the end", "198.18.0.3", "block")
		})
	}
}

func TestAFailedActivationIsAnErrorOfTheFiles(t *testing.T) {
	t.Parallel()
	r := startRuled(t, true, ruleText)
	r.sim.SetFaults(func(f *snstest.Faults) { f.RefusedTools = []string{"enfilter"} })
	done, err := r.flush(appliance.Change{Pending: appliance.Pending{Add: addresses(1)}, Activate: true}, addresses(1)...)
	if err == nil || !strings.Contains(err.Error(), "run enfilter -u (rule.activate)") || !done.Changed || !done.Activated.IsZero() || !done.Compared.IsZero() {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestTheRuleIsConfirmedOverTheAPI(t *testing.T) {
	t.Parallel()
	r := startRuled(t, true, ruleText)
	confirm := func() (appliance.Outcome, error) {
		return stormshield.New(r.config).Apply(t.Context(), appliance.Change{Pending: appliance.Pending{InForce: 1}, Reassert: true, GroupListsAll: true, Begin: flushtest.Begin})
	}
	if done, err := confirm(); err != nil || done.Confirmed.IsZero() {
		t.Errorf("%+v, %v", done, err)
	}
	r.sim.SetFaults(func(f *snstest.Faults) { f.Ret = map[string]int{"CONFIG SLOT": 205} })
	if done, err := confirm(); err == nil || !strings.Contains(err.Error(), "give the account admin the right filter_read") || !done.Confirmed.IsZero() {
		t.Errorf("without the right to read the policy: %+v, %v", done, err)
	}
	r.sim.SetFaults(func(f *snstest.Faults) { f.Ret = map[string]int{"CONFIG SLOT": 200} })
	if done, err := confirm(); err != nil || done.Confirmed.IsZero() {
		t.Errorf("on an appliance that refuses the question: %+v, %v", done, err)
	}
	r.sim.SetFaults(func(f *snstest.Faults) { f.Ret = nil })
	if err := r.sim.SetPolicy(5, "off "+ruleText); err != nil {
		t.Fatal(err)
	}
	if done, err := confirm(); err == nil || !done.RuleMissing || !done.Confirmed.IsZero() {
		t.Errorf("while the rule is off: %+v, %v", done, err)
	}
}

func TestAGroupThatARuleNamesStays(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(3), nil, true)
	if err := h.Sim.SetPolicy(3, "off "+ruleText); err != nil { // no matter which slot
		t.Fatal(err)
	}
	config := configFor(t, h.Sim)
	config.Group, config.DeleteGroup = "Blocked", "Unblocked"
	done, err := stormshield.New(config).Apply(t.Context(), appliance.Change{
		Pending: appliance.Pending{InForce: 3}, Files: true, Begin: flushtest.Begin, OldGroups: []string{"Crowdsec", "CrowdsecDeleteGroup"},
		AllInForce: func(context.Context, []netip.Prefix) ([]netip.Prefix, error) { return addresses(3), nil },
	})
	if err != nil || !done.OldGroupsGone || len(done.Kept) != 1 || !strings.HasPrefix(done.Kept[0], "group Crowdsec: a filter rule names it") {
		t.Errorf("%+v, %v", done, err)
	}
	cleaned, err := stormshield.New(config).Cleanup(t.Context(), nil, "Crowdsec")
	if err != nil || !slices.Contains(cleaned.Kept, "group Crowdsec, without our members: a filter rule names it") {
		t.Errorf("%+v, %v", cleaned, err)
	}
	text := string(h.Sim.Read(snstest.GroupFile))
	if strings.Contains(text, "crowdsec_ip_") || !strings.Contains(text, "[Crowdsec]") || strings.Contains(text, "[Blocked]") {
		t.Errorf("the groups are:\n%s", text)
	}
}

// The administrator renames the group, and installs the rule for it later. In between the rule names the old group.
func TestAnOldGroupGoesWhenTheRuleNamesTheNewOne(t *testing.T) {
	t.Parallel()
	for what, bans := range map[string][]netip.Prefix{"with bans": addresses(3), "after the last ban": nil} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := startRuled(t, true, ruleText)
			if _, err := r.flush(appliance.Change{Pending: appliance.Pending{Add: addresses(3)}}, addresses(3)...); err != nil {
				t.Fatal(err)
			}
			r.config.Group, r.config.DeleteGroup, r.mark = "Blocked", "Unblocked", ""
			change := appliance.Change{Activate: true, Reassert: len(bans) > 0, OldGroups: []string{"Crowdsec", "CrowdsecDeleteGroup"}}
			done, err := r.flush(change, bans...)
			if err == nil || !done.RuleMissing || done.OldGroupsGone {
				t.Errorf("%+v, %v", done, err)
			}
			if err := r.sim.SetPolicy(5, strings.ReplaceAll(ruleText, "Crowdsec", "Blocked")); err != nil {
				t.Fatal(err)
			}
			r.mark = ""
			done, err = r.flush(change, bans...)
			if err != nil || !done.OldGroupsGone || len(done.Kept) > 0 {
				t.Errorf("%+v, %v", done, err)
			}
			if text := string(r.sim.Read(snstest.GroupFile)); strings.Contains(text, "Crowdsec") || !strings.Contains(text, "[Blocked]") {
				t.Errorf("the groups are:\n%s", text)
			}
			if named := strings.Count(string(r.sim.Read(snstest.ObjectFile)), "crowdsec_ip_"); named != len(bans) {
				t.Errorf("%d objects, want %d:\n%s", named, len(bans), r.sim.Read(snstest.ObjectFile))
			}
		})
	}
}

func TestARuleNeverTakesTheConfigurationRight(t *testing.T) {
	t.Parallel()
	r := startRuled(t, false, ruleText)
	r.sim.AdminTakesModify()
	if _, err := r.flush(appliance.Change{Pending: appliance.Pending{Add: addresses(9)}, Activate: true, Reassert: true}, addresses(9)...); err != nil {
		t.Fatal(err)
	}
	if !r.sim.AdminHoldsModify() || r.sim.Stats().Evictions > 0 {
		t.Error("the administrator lost the configuration right")
	}
}

// A flush of the plugin may remove the working folder of another run for its group.
func TestWriteGroupsBeginsAgainIfItsFolderGoes(t *testing.T) {
	t.Parallel()
	sim := snstest.Start(t)
	sim.SetFaults(func(f *snstest.Faults) { f.BrokenTools = map[string]string{"cp": "exit 1"} })
	time.AfterFunc(500*time.Millisecond, func() { sim.SetFaults(func(f *snstest.Faults) { f.BrokenTools = nil }) })
	if err := stormshield.New(configFor(t, sim)).WriteGroups(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := string(sim.Read(snstest.GroupFile)); !strings.Contains(text, "[Crowdsec]") || !strings.Contains(text, "[CrowdsecDeleteGroup]") {
		t.Errorf("the groups are:\n%s", text)
	}
}
