package acceptance_test

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/snstest"
)

func TestCheckAndWriteFindsWhatActivatesARule(t *testing.T) {
	t.Parallel()
	const wrong, differs, untried = acceptance.Wrong, acceptance.Differs, acceptance.Untried
	usual := []string{"enobject", "enfilter -u"}
	shows := func(set func(*snstest.Faults)) func(*harness) {
		return func(h *harness) {
			h.Sim.SetFaults(func(f *snstest.Faults) {
				f.MonitorShowsMembers = true
				set(f)
			})
		}
	}
	nothing := func(*snstest.Faults) {}
	for name, c := range map[string]struct {
		activate []string
		breaks   func(*harness)
		verdict  acceptance.Verdict
		says     string
	}{
		"both commands":                    {usual, shows(nothing), acceptance.Holds, "it does after: enobject, enfilter -u"},
		"enobject suffices":                {usual, shows(func(f *snstest.Faults) { f.EnobjectSuffices = true }), differs, "set rule.activate: [enobject]"},
		"enobject suffices, as configured": {usual[:1], shows(func(f *snstest.Faults) { f.EnobjectSuffices = true }), acceptance.Holds, "it does after: enobject"},
		"the files suffice":                {usual, shows(func(f *snstest.Faults) { f.FilesSuffice = true }), differs, "set rule.activate: []"},
		"the files suffice, as configured": {nil, shows(func(f *snstest.Faults) { f.FilesSuffice = true }), acceptance.Holds, "the write alone"},
		"too few commands":                 {usual[:1], shows(nothing), wrong, "set rule.activate: [enobject, enfilter -u]"},
		"the wrong order":                  {[]string{"enfilter -u", "enobject"}, shows(nothing), wrong, "set rule.activate: [enobject, enfilter -u]"},
		"no command":                       {nil, shows(nothing), wrong, "it does not after: the write alone"},
		"a refused command":                {usual, shows(func(f *snstest.Faults) { f.RefusedTools = []string{"enfilter"} }), wrong, "run enfilter -u"},
		"no members":                       {usual, func(*harness) {}, untried, "does not show the new member after: enobject, enfilter -u"},
		"no members, and an empty group":   {usual, func(h *harness) { h.MustFlush(nil, addresses(3), false) }, untried, "does not show the new member"},
		"no group yet": {usual, func(h *harness) {
			if err := h.Sim.AdminEdit("objectgroup", func(text []byte) []byte {
				return []byte(strings.Replace(string(text), "[Crowdsec]", "[Other]", 1))
			}); err != nil {
				h.T.Fatal(err)
			}
		}, untried, "no group Crowdsec yet"},
		"no rule in force":   {usual, shows(nothing), untried, "something that it needs"},
		"a flush in between": {usual, shows(nothing), untried, "a flush of the plugin came in between"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, config := startWithRule(t)
			config.Rule.Activate = c.activate
			c.breaks(h)
			switch name {
			case "no rule in force":
				if err := h.Sim.SetPolicy(h.Sim.ActiveSlot(), "pass from any to any"); err != nil {
					t.Fatal(err)
				}
			case "a flush in between":
				h.removeMemberBefore("enobject")
			}
			before, object, objectgroup := policies(h.Sim), h.Sim.Read("object"), h.Sim.Read("objectgroup")
			h.Sim.ResetStats()
			findings := acceptance.CheckAndWrite(t.Context(), stormshield.New(config))
			f := finding(findings, "activating a rule")
			if said := f.Detail + f.Hint + errorText(f.Err); f.Verdict != c.verdict || !strings.Contains(said, c.says) {
				t.Errorf("%s: %s, want %s and %q", f.Verdict, said, c.verdict, c.says)
			}
			got, said := notOK(findings)
			delete(got, "activating a rule")
			if name != "no rule in force" && len(got) > 0 {
				t.Errorf("also found\n%s", said)
			}
			h.wantPoliciesKept(before)
			h.wantUntouched(object, objectgroup)
			if v := h.Sim.Packet(netip.MustParseAddr("198.51.100.253"), netip.MustParseAddr("203.0.113.1")); v.Action != "pass" {
				t.Errorf("the running rule still names the test address: %v", v)
			}
		})
	}
}

// removeMemberBefore takes the test address out of the group of bans before a command runs, as a flush does that finds a leftover.
func (h *harness) removeMemberBefore(command string) {
	var once sync.Once
	h.Sim.SetFaults(func(f *snstest.Faults) {
		f.Step = func(step string, ran bool) bool {
			if step == command && !ran {
				once.Do(func() {
					if err := h.Sim.AdminEdit("objectgroup", func(text []byte) []byte {
						return []byte(strings.Replace(string(text), "[Crowdsec]\ncrowdsec_ip_3325256957\n", "[Crowdsec]\n", 1))
					}); err != nil {
						h.T.Error(err)
					}
				})
			}
			return false
		}
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
