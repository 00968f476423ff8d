package acceptance_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/snstest"
)

// at calls do once, before or after the first command that begins with a text. The connection is cut there if do returns true.
func (h *harness) at(command string, after bool, do func() (cut bool)) {
	var once sync.Once
	h.Sim.SetFaults(func(f *snstest.Faults) {
		f.Step = func(step string, ran bool) (cut bool) {
			if ran == after && strings.HasPrefix(step, command) {
				once.Do(func() { cut = do() })
			}
			return cut
		}
	})
}

func testCutAt(t *testing.T, commands ...string) {
	t.Helper()
	for _, command := range commands {
		for when, after := range map[string]bool{" before": false, " after": true} {
			t.Run(command+when, func(t *testing.T) {
				t.Parallel()
				h, config := startWithRule(t)
				before, object, objectgroup := policies(h.Sim), h.Sim.Read("object"), h.Sim.Read("objectgroup")
				h.Sim.ResetStats()
				reached := false
				h.at(command, after, func() bool { reached = true; return true })
				findings := acceptance.CheckAndWrite(t.Context(), stormshield.New(config))
				if last := findings[len(findings)-1]; last.Verdict != acceptance.Holds {
					t.Errorf("%s: %s, %s %v", last.Subject, last.Verdict, last.Detail, last.Err)
				}
				if _, said := notOK(findings); !reached || said == "" {
					t.Errorf("reached: %t, found:\n%s", reached, said)
				}
				h.wantPoliciesKept(before)
				h.wantUntouched(object, objectgroup)
			})
		}
	}
}

func TestACutConnectionLeavesNoRuleBehind(t *testing.T) {
	t.Parallel()
	testCutAt(t, "CONFIG FILTER RULE INSERT", "CONFIG FILTER RULE REMOVE")
}

func TestLongACutConnectionLeavesNoRuleBehind(t *testing.T) {
	t.Parallel()
	testCutAt(t, "MODIFY ON", "CONFIG FILTER RULE INSERT", "CONFIG FILTER RULE UPDATE", "CONFIG FILTER CHECK", "CONFIG FILTER RULE REMOVE", "MODIFY OFF",
		"CONFIG FILTER EXPLICIT index=1 type=filter useclone=1", "MONITOR FILTER", "enobject", "enfilter")
}

func TestAnotherCheckRemovesTheRuleOfAnInterruptedOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		interrupt func(*harness) bool
		heal      func(*harness)
	}{
		"the appliance went away": {func(h *harness) bool {
			h.Sim.SetFaults(func(f *snstest.Faults) { f.APIRefuse = true })
			return true
		}, func(h *harness) {
			h.Sim.SetFaults(func(f *snstest.Faults) { f.APIRefuse = false })
			h.Sim.EndSessions()
			h.unblock("198.51.100.253", "2001:db8::c5ec") // these entries would end by themselves
		}},
		"an administrator took the right": {func(h *harness) bool { h.Sim.AdminTakesModify(); return false },
			func(h *harness) { h.Sim.AdminReleasesModify() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, config := startWithRule(t)
			before, object, objectgroup := policies(h.Sim), h.Sim.Read("object"), h.Sim.Read("objectgroup")
			h.Sim.ResetStats()
			h.at("CONFIG FILTER RULE UPDATE", false, func() bool { return c.interrupt(h) })
			findings := acceptance.CheckAndWrite(t.Context(), stormshield.New(config))
			if last := findings[len(findings)-1]; last.Verdict != acceptance.Wrong || !strings.Contains(last.Err.Error(), "remove the rule that is off from the copy of slot 1") {
				t.Errorf("%s %s %v", last.Verdict, last.Detail, last.Err)
			}
			if policies(h.Sim) == before {
				t.Fatal("nothing was left")
			}
			c.heal(h)
			findings = acceptance.CheckAndWrite(t.Context(), stormshield.New(config))
			if err := acceptance.FirstFault(findings); err != nil {
				t.Error(err)
			}
			if f := finding(findings, "removing a rule"); f.Verdict != acceptance.Holds {
				t.Errorf("%s: %s %s %v", f.Subject, f.Verdict, f.Detail, f.Err)
			}
			h.wantPoliciesKept(before)
			h.wantUntouched(object, objectgroup)
		})
	}
}

func (h *harness) unblock(names ...string) {
	h.T.Helper()
	session, err := stormshield.New(configFor(h.T, h.Sim)).OpenMonitor(h.T.Context())
	if err != nil {
		h.T.Fatal(err)
	}
	defer stormshield.Release(h.T.Context(), session)
	for _, name := range names {
		if err := blacklist.Unblock(h.T.Context(), session, name); err != nil {
			h.T.Error(err)
		}
	}
}

func TestAnInterruptedCheckAndWriteRemovesItsRule(t *testing.T) {
	t.Parallel()
	h, config := startWithRule(t)
	before, object, objectgroup := policies(h.Sim), h.Sim.Read("object"), h.Sim.Read("objectgroup")
	h.Sim.ResetStats()
	ctx, interrupt := context.WithCancel(t.Context())
	h.at("CONFIG FILTER RULE INSERT", true, func() bool { interrupt(); return false })
	findings := acceptance.CheckAndWrite(ctx, stormshield.New(config))
	if last := findings[len(findings)-1]; last.Verdict != acceptance.Holds {
		t.Errorf("%s: %s, %s %v", last.Subject, last.Verdict, last.Detail, last.Err)
	}
	h.wantPoliciesKept(before)
	h.wantUntouched(object, objectgroup)
}

func TestFlushesSucceedDuringACheckAndWriteOfTheRule(t *testing.T) {
	t.Parallel()
	for command, between := range map[string]bool{"CONFIG FILTER RULE UPDATE": false, "CONFIG FILTER CHECK": false, "enobject": true} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			h, config := startWithRule(t)
			h.Sim.SetFaults(func(f *snstest.Faults) { f.MonitorShowsMembers = true })
			before := policies(h.Sim)
			h.Sim.ResetStats()
			h.at(command, false, func() bool { h.flushUntilDone(4); return false })
			findings := acceptance.CheckAndWrite(t.Context(), stormshield.New(config))
			if f := finding(findings, "activating a rule"); strings.Contains(f.Detail, "came in between") != between {
				t.Errorf("%s: %s, %s %v", f.Subject, f.Verdict, f.Detail, f.Err)
			}
			if err := acceptance.FirstFault(findings); err != nil {
				t.Error(err)
			}
			h.MustFlush(nil, nil, true)
			h.WantInForce()
			h.wantPoliciesKept(before)
		})
	}
}
