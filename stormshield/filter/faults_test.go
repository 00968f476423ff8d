package filter_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/snstest"
)

func TestAConnectionThatIsCutAtAnyStepLeavesTheOldRulesOrTheNewOnes(t *testing.T) {
	t.Parallel()
	testFaults(t, "cut after")
}

func TestLongAFaultAtAnyStepLeavesTheOldRulesOrTheNewOnes(t *testing.T) {
	t.Parallel()
	testFaults(t, "cut before", "cut after", "refused", "reboot before", "reboot after", "ended")
}

// testFaults makes each command of an installation, an update and a removal fail, and then runs the same again.
func testFaults(t *testing.T, faults ...string) {
	t.Helper()
	before := policy()[:20]
	old := wanted(direction("both"), func(w *filter.Wanted) { w.Position = 5 })
	next := wanted(func(w *filter.Wanted) { w.Action, w.Log = "reset", "major" })
	type change func(context.Context, filter.Session, filter.Wanted) (*filter.Change, error)
	for name, c := range map[string]struct {
		make          change
		wanted        filter.Wanted
		present, want []string
	}{
		"install": {filter.Install, old, before, slices.Insert(slices.Clone(before), 4, ours(old)...)},
		"update":  {filter.Install, next, slices.Insert(slices.Clone(before), 4, ours(old)...), slices.Insert(slices.Clone(before), 4, ours(next)...)},
		"remove":  {filter.Remove, old, slices.Insert(slices.Clone(before), 4, ours(old)...), before},
	} {
		for _, fault := range faults {
			t.Run(name+", "+fault, func(t *testing.T) {
				t.Parallel()
				for n := 1; n < 40; n++ {
					sim := start(t, c.present...)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					session := &saboteur{Session: dial(t, sim), at: n}
					dead := func() error {
						sim.EndSessions()
						return errCut
					}
					switch fault {
					case "cut before":
						session.before = dead
					case "cut after":
						session.after = dead
					case "refused":
						session.before = func() error { _, err := session.Session.Run(ctx, "NONSENSE"); return err }
					case "reboot before":
						session.before = func() error { sim.Reboot(); return errCut }
					case "reboot after":
						session.after = func() error { sim.Reboot(); return errCut }
					case "ended":
						session.before = func() error { cancel(); return nil }
					}
					change, err := c.make(ctx, session, c.wanted)
					if err == nil {
						err = change.Apply(ctx, session, filter.Options{})
					}
					if len(session.run) < n {
						return
					}
					command := session.run[n-1]
					if running := sim.RunningPolicy(); !slices.Equal(running, c.present) && !slices.Equal(running, c.want) {
						t.Fatalf("%s (%v): the running policy is neither: %s", command, err, difference(running, c.want))
					}
					_ = session.Session.(*serverd.Session).Close(t.Context())
					wantCareful(t, sim)
					again := dial(t, sim)
					if change, err = c.make(t.Context(), again, c.wanted); err == nil && !change.IsEmpty() {
						err = change.Apply(t.Context(), again, filter.Options{})
					}
					if err != nil {
						t.Fatalf("%s: the next run: %v", command, err)
					}
					wantPolicy(t, sim, c.want)
					if t.Failed() {
						t.Fatalf("after a fault at %s", command)
					}
				}
			})
		}
	}
}

func TestAFailedStepIsTakenBack(t *testing.T) {
	t.Parallel()
	before := policy()[:20]
	old := wanted(direction("both"), func(w *filter.Wanted) { w.Position = 20 })
	present := append(slices.Clone(before[:19]), append(ours(old), before[19])...)
	for _, next := range []filter.Wanted{wanted(), wanted(direction("both"), func(w *filter.Wanted) { w.Action = "log" })} {
		for _, refused := range []string{"CONFIG FILTER RULE UPDATE", "CONFIG FILTER RULE REMOVE", "CONFIG FILTER CHECK", "CONFIG FILTER ACTIVATE"} {
			sim := start(t, present...)
			session := dial(t, sim)
			change, err := filter.Install(t.Context(), session, next)
			if err != nil {
				t.Fatal(err)
			}
			failures := 0
			sim.SetFaults(func(f *snstest.Faults) {
				f.Answer = func(command string) (int, int) {
					if !strings.HasPrefix(command, refused) || failures > 0 {
						return 0, 0
					}
					failures++
					return 0, 201
				}
			})
			err = change.Apply(t.Context(), session, filter.Options{})
			if failures == 0 {
				continue
			}
			if err == nil || !strings.HasSuffix(err.Error(), "our rules in the policy are as before") {
				t.Errorf("%s: %v", refused, err)
			}
			wantPolicy(t, sim, present)
			wantCareful(t, sim)
		}
	}
}

// The command applies a change again when it has written the group.
func TestAStepThatFailsAtTheSecondTryIsTakenBackToo(t *testing.T) {
	t.Parallel()
	old := wanted(direction("both"))
	present := append(ours(old), "block from any to any")
	sim := start(t, present...)
	session := dial(t, sim)
	change, err := filter.Install(t.Context(), session, wanted(func(w *filter.Wanted) { w.Action = "reset" }))
	if err != nil {
		t.Fatal(err)
	}
	for _, refused := range []string{"CONFIG FILTER RULE UPDATE", "CONFIG FILTER CHECK"} {
		sim.SetFaults(func(f *snstest.Faults) {
			failures := 0
			f.Answer = func(command string) (int, int) {
				if !strings.HasPrefix(command, refused) || failures > 0 {
					return 0, 0
				}
				failures++
				return 0, 201
			}
		})
		if err := change.Apply(t.Context(), session, filter.Options{}); err == nil || !strings.HasSuffix(err.Error(), "our rules in the policy are as before") {
			t.Errorf("%s: %v", refused, err)
		}
		wantPolicy(t, sim, present)
	}
}
