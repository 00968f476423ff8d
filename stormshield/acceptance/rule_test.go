package acceptance_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/snstest"
)

type verdicts map[string]acceptance.Verdict

// startWithRule starts an appliance with bans, and a configuration whose rule is in force.
func startWithRule(t *testing.T) (*harness, stormshield.Config) {
	t.Helper()
	h := start(t)
	h.MustFlush(addresses(3), nil, false)
	config := configFor(t, h.Sim)
	config.Rule = stormshield.Rule{
		Enforces: true, AsSource: true, Activate: []string{"enobject", "enfilter -u"},
		Wanted: filter.Wanted{Name: "crowdsec", Group: config.Group, Action: "block", Log: "none", Direction: "in", Position: 1},
	}
	h.installRule(config)
	return h, config
}

func (h *harness) installRule(config stormshield.Config) {
	h.T.Helper()
	session, err := stormshield.New(config).DialAPI(h.T.Context())
	if err != nil {
		h.T.Fatal(err)
	}
	defer func() { _ = session.Close(context.Background()) }()
	change, err := filter.Install(h.T.Context(), session, config.Rule.Wanted)
	if err == nil {
		err = change.Apply(h.T.Context(), session, filter.Options{ActivatePending: true})
	}
	if err != nil {
		h.T.Fatal(err)
	}
}

// notOK returns the verdicts that are not ok, and the text of their findings.
func notOK(findings []acceptance.Finding) (verdicts, string) {
	got, said := verdicts{}, ""
	for _, f := range findings {
		if f.Verdict != acceptance.Holds {
			got[f.Subject] = f.Verdict
			said += fmt.Sprintf("%s %s: %s %v (hint: %s)\n", f.Verdict, f.Subject, f.Detail, f.Err, f.Hint)
		}
	}
	return got, said
}

// policies are all policies of an appliance, activated and edited.
func policies(sim *snstest.Appliance) string {
	var text strings.Builder
	for slot := 1; slot <= snstest.Slots; slot++ {
		fmt.Fprintf(&text, "%d activated\n%s\n%d edited\n%s\n", slot, strings.Join(sim.Policy(slot), "\n"), slot, strings.Join(sim.EditedPolicy(slot), "\n"))
	}
	return text.String() + "running\n" + strings.Join(sim.RunningPolicy(), "\n")
}

// wantPoliciesKept fails the test if a policy changed, or if a right is held or was forced.
func (h *harness) wantPoliciesKept(before string) {
	h.T.Helper()
	if after := policies(h.Sim); after != before {
		h.T.Errorf("the policies were\n%s\nand are\n%s", before, after)
	}
	if h.Sim.ModifyHeld() && !h.Sim.AdminHoldsModify() {
		h.T.Error("the configuration right is still held")
	}
	s := h.Sim.Stats()
	for _, command := range s.APICommands {
		if strings.Contains(command, "FORCE") && !strings.HasPrefix(command, "MODIFY MONITOR") || strings.HasPrefix(command, "CONFIG FILTER ACTIVATE") ||
			strings.HasPrefix(command, "CONFIG SLOT ACTIVATE") {
			h.T.Errorf("check sent %s", command)
		}
	}
	if s.Evictions != 0 {
		h.T.Errorf("%d evictions", s.Evictions)
	}
}

func TestCheckComparesTheFilterRule(t *testing.T) {
	t.Parallel()
	const wrong, differs, untried = acceptance.Wrong, acceptance.Differs, acceptance.Untried
	faults := func(set func(*snstest.Faults)) func(*harness, *stormshield.Config) {
		return func(h *harness, _ *stormshield.Config) { h.Sim.SetFaults(set) }
	}
	policy := func(lines ...string) func(*harness, *stormshield.Config) {
		return func(h *harness, _ *stormshield.Config) {
			if err := h.Sim.SetPolicy(h.Sim.ActiveSlot(), lines...); err != nil {
				h.T.Fatal(err)
			}
		}
	}
	forbidden := faults(func(f *snstest.Faults) { f.Ret = map[string]int{"CONFIG FILTER": 205, "CONFIG SLOT": 205} })
	for name, c := range map[string]struct {
		breaks func(*harness, *stormshield.Config)
		want   verdicts
		says   string
	}{
		"as configured":    {func(*harness, *stormshield.Config) {}, verdicts{}, ""},
		"padded slots":     {faults(func(f *snstest.Faults) { f.PaddedSlots = true }), verdicts{}, ""},
		"counters":         {faults(func(f *snstest.Faults) { f.FilterCounters = true }), verdicts{}, ""},
		"names of rules":   {faults(func(f *snstest.Faults) { f.ShowRuleNames = true }), verdicts{}, ""},
		"no right to edit": {faults(func(f *snstest.Faults) { f.NoFilter = true }), verdicts{}, ""},
		"no rule":          {policy("pass from any to any"), verdicts{"filter rule": wrong}, "no rule in force names the group Crowdsec as source"},
		"a rule that is off": {policy("off block from Crowdsec to any # crowdsec-stormshield crowdsec: bans as source, block, log none"),
			verdicts{"filter rule": wrong}, "rule install"},
		"a rule of somebody": {policy("block from Crowdsec to any # mine"), verdicts{}, ""},
		"another name for a rule of somebody": {func(h *harness, _ *stormshield.Config) {
			policy("rulename=crowdsec: block from Crowdsec to any # mine")(h, nil)
			h.Sim.SetFaults(func(f *snstest.Faults) { f.ShowRuleNames = true })
		}, verdicts{"filter rule": wrong, "edits of the policy": untried}, "(hint: choose another name"},
		"another log level": {func(_ *harness, c *stormshield.Config) { c.Rule.Wanted.Log = "minor" }, verdicts{"filter rule": differs}, "+ 1: block"},
		"another action":    {func(_ *harness, c *stormshield.Config) { c.Rule.Wanted.Action = "log" }, verdicts{"filter rule": wrong}, "rule.action is log"},
		"both directions": {func(_ *harness, c *stormshield.Config) {
			c.Rule.Wanted.Direction, c.Rule.AsDestination = "both", true
		}, verdicts{"filter rule": wrong}, "as destination"},
		"a slot that is not active": {func(_ *harness, c *stormshield.Config) { c.Rule.Wanted.Slot = 3 }, verdicts{"filter rule": differs}, "slot is 3"},
		"edits of somebody else": {func(h *harness, _ *stormshield.Config) {
			if err := h.Sim.AdminEditPolicy(h.Sim.ActiveSlot(), func(lines []string) []string { return append(lines, "block from any to srv_web") }); err != nil {
				h.T.Fatal(err)
			}
		}, verdicts{}, ""},
		"useclone refused":        {faults(func(f *snstest.Faults) { f.UseCloneRefused = true }), verdicts{"edits of the policy": differs}, "--activate-pending"},
		"the policy is forbidden": {forbidden, verdicts{"filter rule": differs, "edits of the policy": untried}, "filter_read"},
		"the policy is forbidden, and the rule enforces alone": {func(h *harness, c *stormshield.Config) {
			forbidden(h, c)
			c.Rule.Alone = true
		}, verdicts{"filter rule": wrong, "edits of the policy": untried}, "each re-assert fails"},
		"the policy is refused": {faults(func(f *snstest.Faults) { f.Ret = map[string]int{"CONFIG FILTER EXPLICIT": 200} }),
			verdicts{"filter rule": differs, "edits of the policy": untried}, "does not notice"},
		"no enfilter": {faults(func(f *snstest.Faults) { f.MissingTools = []string{"enfilter"} }), verdicts{"activation commands": wrong}, "no enfilter"},
		"no command":  {func(_ *harness, c *stormshield.Config) { c.Rule.Activate = nil }, verdicts{}, ""},
		"the blacklist alone": {func(_ *harness, c *stormshield.Config) { c.Rule = stormshield.Rule{Wanted: c.Rule.Wanted} },
			verdicts{"filter rule": differs}, "rule remove"},
		"the blacklist alone, and no rule": {func(h *harness, c *stormshield.Config) {
			policy("pass from any to any")(h, c)
			c.Rule = stormshield.Rule{Wanted: c.Rule.Wanted}
		}, verdicts{}, ""},
		"the blacklist alone, and no right to read": {func(h *harness, c *stormshield.Config) {
			forbidden(h, c)
			c.Rule = stormshield.Rule{Wanted: c.Rule.Wanted}
		}, verdicts{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, config := startWithRule(t)
			c.breaks(h, &config)
			before := policies(h.Sim)
			h.Sim.ResetStats()
			findings := acceptance.Check(t.Context(), stormshield.New(config))
			if got, said := notOK(findings); !maps.Equal(got, c.want) || !strings.Contains(said, c.says) {
				t.Errorf("found\n%swant %v and %q", said, c.want, c.says)
			}
			h.wantPoliciesKept(before)
			if slices.Contains(h.Sim.Stats().APICommands, "MODIFY ON") {
				t.Error("check took the configuration right")
			}
		})
	}
}

func TestCheckSaysWhatItFoundAboutTheRule(t *testing.T) {
	t.Parallel()
	h, config := startWithRule(t)
	if err := h.Sim.AdminEditPolicy(h.Sim.ActiveSlot(), func(lines []string) []string { return append(lines, "block from any to srv_web") }); err != nil {
		t.Fatal(err)
	}
	findings := acceptance.Check(t.Context(), stormshield.New(config))
	for subject, detail := range map[string]string{
		"filter rule":         "slot 5, position 1: block from Crowdsec to any # crowdsec-stormshield crowdsec: bans as source, block, log none",
		"edits of the policy": "slot 5 has edits of somebody else that are not active yet (1)",
		"activation commands": "enfilter",
	} {
		if f := finding(findings, subject); f.Verdict != acceptance.Holds || !strings.Contains(f.Detail, detail) {
			t.Errorf("%s: %s %s %v", subject, f.Verdict, f.Detail, f.Err)
		}
	}
}

func TestCheckAndWriteEditsAnInactivePolicy(t *testing.T) {
	t.Parallel()
	const wrong, differs, untried = acceptance.Wrong, acceptance.Differs, acceptance.Untried
	faults := func(set func(*snstest.Faults)) func(*harness, *stormshield.Config) {
		return func(h *harness, _ *stormshield.Config) { h.Sim.SetFaults(set) }
	}
	// The simulated appliance shows no members unless a case says so.
	activation := verdicts{"activating a rule": untried}
	rows := verdicts{"what the list prints": untried, "updating a rule": untried, "checking a policy": untried, "removing a rule": untried}
	plus := func(all ...verdicts) verdicts {
		sum := verdicts{}
		for _, v := range all {
			maps.Copy(sum, v)
		}
		return sum
	}
	for name, c := range map[string]struct {
		breaks func(*harness, *stormshield.Config)
		want   verdicts
		says   string
	}{
		"as configured":  {func(*harness, *stormshield.Config) {}, activation, "MONITOR FILTER does not show the new member after: enobject, enfilter -u"},
		"padded slots":   {faults(func(f *snstest.Faults) { f.PaddedSlots = true }), activation, ""},
		"names of rules": {faults(func(f *snstest.Faults) { f.ShowRuleNames = true }), activation, ""},
		"log":            {func(_ *harness, c *stormshield.Config) { c.Rule.Wanted.Action = "log" }, plus(activation, verdicts{"filter rule": wrong}), ""},
		"counters, and no empty slot": {func(h *harness, _ *stormshield.Config) {
			for slot := 1; slot <= snstest.Slots; slot++ {
				if slot != h.Sim.ActiveSlot() {
					_ = h.Sim.SetPolicy(slot, "separator; color=C0C0C0; collapse=0; comment=a", "pass from any to srv_web # règle", "block from any to any")
				}
			}
			h.Sim.SetFaults(func(f *snstest.Faults) { f.FilterCounters = true })
		}, activation, ""},
		"every slot has edits": {func(h *harness, _ *stormshield.Config) {
			for slot := 1; slot <= snstest.Slots; slot++ {
				_ = h.Sim.AdminEditPolicy(slot, func(lines []string) []string { return append(lines, "pass from any to srv_web") })
			}
		}, plus(rows, activation, verdicts{"inserting a rule": untried}), "no inactive policy without edits"},
		"an administrator at work": {func(h *harness, _ *stormshield.Config) { h.Sim.AdminTakesModify() },
			plus(rows, activation, verdicts{"inserting a rule": untried}), "holds the configuration right"},
		"no right to modify": {faults(func(f *snstest.Faults) { f.NoModify = true }),
			plus(rows, activation, verdicts{"inserting a rule": untried}), "modify and filter"},
		"no right to edit": {faults(func(f *snstest.Faults) { f.Ret = map[string]int{"CONFIG FILTER RULE": 205} }),
			plus(rows, activation, verdicts{"inserting a rule": untried}), "modify and filter"},
		"useclone refused": {faults(func(f *snstest.Faults) { f.UseCloneRefused = true }),
			plus(rows, activation, verdicts{"inserting a rule": untried, "edits of the policy": differs}), ""},
		"insert refused": {faults(func(f *snstest.Faults) { f.Ret = map[string]int{"CONFIG FILTER RULE INSERT": 200} }),
			plus(rows, activation, verdicts{"inserting a rule": wrong}), "ret 200"},
		"update refused": {faults(func(f *snstest.Faults) { f.Ret = map[string]int{"CONFIG FILTER RULE UPDATE": 200} }),
			plus(activation, verdicts{"updating a rule": wrong}), "in its place"},
		"check refused": {faults(func(f *snstest.Faults) { f.Ret = map[string]int{"CONFIG FILTER CHECK": 201} }),
			plus(activation, verdicts{"checking a policy": wrong}), "ret 201"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, config := startWithRule(t)
			c.breaks(h, &config)
			before, object, objectgroup := policies(h.Sim), h.Sim.Read("object"), h.Sim.Read("objectgroup")
			h.Sim.ResetStats()
			findings := acceptance.CheckAndWrite(t.Context(), stormshield.New(config))
			if got, said := notOK(findings); !maps.Equal(got, c.want) || !strings.Contains(said, c.says) {
				t.Errorf("found\n%swant %v and %q", said, c.want, c.says)
			}
			h.wantPoliciesKept(before)
			h.wantUntouched(object, objectgroup)
		})
	}
}
