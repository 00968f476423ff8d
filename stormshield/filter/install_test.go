package filter_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/snstest"
)

func TestInstallAndRemoveLeaveEveryOtherLineAsItIs(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*snstest.Faults){
		"plain": func(*snstest.Faults) {}, "counters": func(f *snstest.Faults) { f.FilterCounters = true }, "names": func(f *snstest.Faults) { f.ShowRuleNames = true },
		"padded slots": func(f *snstest.Faults) { f.PaddedSlots = true }, "Latin-1": func(f *snstest.Faults) { f.Latin1 = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := policy()
			sim := start(t, before...)
			sim.SetFaults(fault)
			session := dial(t, sim)
			positions := []int{1, 4, 200, 500}
			if name != "plain" {
				positions = []int{2}
			}
			for _, d := range []string{"in", "out", "both"} {
				for _, position := range positions {
					w := wanted(direction(d), func(w *filter.Wanted) { w.Position = position })
					if !install(t, session, w) {
						t.Fatal("there was nothing to do")
					}
					wantPolicy(t, sim, slices.Insert(slices.Clone(before), min(position-1, len(before)), ours(w)...))
					sim.ResetStats()
					if install(t, session, w) || slices.Contains(sim.Stats().APICommands, "MODIFY ON") {
						t.Error("the second install did something")
					}
					remove(t, session, w)
					wantPolicy(t, sim, before)
					sim.ResetStats()
					if remove(t, session, w); slices.Contains(sim.Stats().APICommands, "MODIFY ON") {
						t.Error("the second remove did something")
					}
				}
			}
			wantCareful(t, sim)
		})
	}
}

func TestAChangedConfigurationUpdatesTheRulesInPlace(t *testing.T) {
	t.Parallel()
	before := policy()[:20]
	sim := start(t, before...)
	session := dial(t, sim)
	at := func(w filter.Wanted) []string { return slices.Insert(slices.Clone(before), 6, ours(w)...) }
	var all []filter.Wanted
	for _, d := range []string{"in", "out", "both"} {
		for _, action := range []string{"block", "reset", "log"} {
			for _, level := range []string{"none", "minor", "major"} {
				all = append(all, wanted(direction(d), func(w *filter.Wanted) { w.Action, w.Log, w.Position = action, level, 1 }))
			}
		}
	}
	for i, w := range all {
		for _, next := range []filter.Wanted{all[(i+1)%len(all)], all[(i+4)%len(all)], all[(i+11)%len(all)]} {
			if err := sim.SetPolicy(snstest.DefaultSlot, at(w)...); err != nil {
				t.Fatal(err)
			}
			install(t, session, next)
			want := at(next)
			if w.Direction == "out" && next.Direction == "both" { // the present rule keeps its place behind the separator
				want = slices.Insert(slices.Clone(before), 6, ours(next)...)
			}
			wantPolicy(t, sim, want)
		}
	}
	wantCareful(t, sim)
}

func TestARuleThatAnAdministratorMovedStaysWhereItIs(t *testing.T) {
	t.Parallel()
	before := policy()[:20]
	sim := start(t, before...)
	session := dial(t, sim)
	w := wanted(direction("both"))
	install(t, session, w)
	moved := func(w filter.Wanted) []string {
		lines := slices.Insert(slices.Clone(before), 15, ours(w)[0])
		if len(ours(w)) > 1 {
			return slices.Insert(lines, 3, ours(w)[1])
		}
		return lines
	}
	if err := sim.SetPolicy(snstest.DefaultSlot, moved(w)...); err != nil {
		t.Fatal(err)
	}
	if install(t, session, w) {
		t.Error("a moved rule is installed again")
	}
	w.Action = "reset"
	install(t, session, w)
	wantPolicy(t, sim, moved(w))
	w.Direction = "in"
	install(t, session, w)
	wantPolicy(t, sim, moved(w))
	w.Direction = "both"
	install(t, session, w)
	wantPolicy(t, sim, slices.Insert(slices.Clone(before), 15, ours(w)...))
}

func TestTheDifferenceNamesEachRuleThatChanges(t *testing.T) {
	t.Parallel()
	sim := start(t, policy()[:5]...)
	session := dial(t, sim)
	diff := func(w filter.Wanted) string {
		t.Helper()
		change, err := filter.Install(t.Context(), session, w)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(change.Diff(), "\n")
	}
	w := wanted(func(w *filter.Wanted) { w.Position = 3 })
	const blocks = "3: block from Crowdsec to any # crowdsec-stormshield crowdsec: bans as source, block, log none"
	if got, want := diff(w), "+ "+blocks; got != want {
		t.Errorf("difference %q, want %q", got, want)
	}
	install(t, session, w)
	if got := diff(w); got != "" {
		t.Errorf("difference %q of an installed rule", got)
	}
	w.Direction, w.Action = "both", "log"
	if got, want := diff(w), "- "+blocks+`
+ 3: log from Crowdsec to any # crowdsec-stormshield crowdsec: bans as source, log, log none
+ 4: log from any to Crowdsec # crowdsec-stormshield crowdsec: bans as destination, log, log none`; got != want {
		t.Errorf("difference\n%s\nwant\n%s", got, want)
	}
	if err := sim.SetPolicy(snstest.DefaultSlot, "off block from Crowdsec to any # crowdsec-stormshield crowdsec: bans as source, block, log none"); err != nil {
		t.Fatal(err)
	}
	if got := diff(wanted()); !strings.HasPrefix(got, "- 1: off block") {
		t.Errorf("difference %q of a rule that is off", got)
	}
}

func TestAHeldRightIsNeverTaken(t *testing.T) {
	t.Parallel()
	before := policy()
	sim := start(t, before...)
	session := dial(t, sim)
	change, err := filter.Install(t.Context(), session, wanted())
	if err != nil {
		t.Fatal(err)
	}
	sim.AdminTakesModify()
	var held *filter.HeldError
	if err := change.Apply(t.Context(), session, filter.Options{}); !errors.As(err, &held) || !strings.Contains(err.Error(), "administrator") {
		t.Errorf("error %v", err)
	}
	if !sim.AdminHoldsModify() {
		t.Error("the administrator lost the right")
	}
	wantPolicy(t, sim, before)
	wantCareful(t, sim)
}

func TestInactiveEditsOfSomebodyElseAreNotActivated(t *testing.T) {
	t.Parallel()
	before := policy()[:20]
	edited := slices.Concat(before[:2], []string{"pass from any to any # half done"}, before[2:])
	sim := start(t, before...)
	session := dial(t, sim)
	if err := sim.AdminEditPolicy(snstest.DefaultSlot, func([]string) []string { return edited }); err != nil {
		t.Fatal(err)
	}
	for _, slot := range []int{0, 3} { // ACTIVATE names no slot
		change, err := filter.Install(t.Context(), session, wanted(func(w *filter.Wanted) { w.Slot = slot }))
		if err != nil {
			t.Fatal(err)
		}
		sim.ResetStats()
		var inactive *filter.InactiveEditsError
		err = change.Apply(t.Context(), session, filter.Options{})
		if !errors.As(err, &inactive) || inactive.Slot != snstest.DefaultSlot || !slices.Equal(inactive.Edits, []string{"+ pass from any to any # half done"}) {
			t.Errorf("slot %d: %v, %+v", slot, err, inactive)
		}
		if commands := sim.Stats().APICommands; len(commands) > 0 {
			t.Errorf("slot %d: commands %q", slot, commands)
		}
	}
	change, err := filter.Install(t.Context(), session, wanted())
	if err != nil {
		t.Fatal(err)
	}
	if err := change.Apply(t.Context(), session, filter.Options{ActivatePending: true}); err != nil {
		t.Fatal(err)
	}
	wantPolicy(t, sim, append(ours(wanted()), edited...))
	if err := sim.AdminEditPolicy(snstest.DefaultSlot, func(lines []string) []string {
		lines[1], lines[2] = lines[2], lines[1]
		return lines
	}); err != nil {
		t.Fatal(err)
	}
	if change, err = filter.Remove(t.Context(), session, wanted()); err != nil || change.InactiveEdits() == nil || change.InactiveEdits().Edits == nil {
		t.Errorf("a changed order: %v, %v", change.InactiveEdits(), err)
	}
}

// At each step an administrator edits the policy. Most take the right, as the web administration does. Another way to edit, which takes no
// right, is noticed until a command that edits or activates.
func TestAChangeOfAnAdministratorInBetweenIsNeitherLostNorActivated(t *testing.T) {
	t.Parallel()
	const line, activate = "pass from any to any # half done", "CONFIG FILTER ACTIVATE"
	before := policy()[:20]
	old := wanted(direction("both"), func(w *filter.Wanted) { w.Position = 5 })
	present := slices.Insert(slices.Clone(before), 4, ours(old)...)
	edited := slices.Insert(slices.Clone(before), 0, line) // every position changes
	for name, plan := range map[string]func(context.Context, filter.Session, filter.Wanted) (*filter.Change, error){"update": filter.Install, "remove": filter.Remove} {
		for _, takesRight := range []bool{true, false} {
			for n := 1; ; n++ {
				sim := start(t, present...)
				session := &saboteur{Session: dial(t, sim), at: n}
				session.before = func() error {
					if takesRight {
						sim.AdminTakesModify()
					}
					return sim.AdminEditPolicy(snstest.DefaultSlot, func(lines []string) []string { return append([]string{line}, lines...) })
				}
				change, err := plan(t.Context(), session, wanted())
				if err == nil {
					err = change.Apply(t.Context(), session, filter.Options{})
				}
				if len(session.run) < n {
					break
				}
				command := session.run[n-1]
				if !takesRight && (command == activate || strings.HasPrefix(command, "CONFIG FILTER RULE")) {
					continue // nobody can notice it
				}
				about := fmt.Sprintf("%s, the administrator takes the right: %t: the edit before %s", name, takesRight, command)
				if slices.Contains(sim.Policy(snstest.DefaultSlot), line) || slices.Contains(sim.RunningPolicy(), line) {
					t.Errorf("%s is activated (%v)", about, err)
				}
				others := slices.DeleteFunc(sim.EditedPolicy(snstest.DefaultSlot), func(l string) bool { return strings.Contains(l, "# crowdsec-stormshield ") })
				if !slices.Equal(others, edited) {
					t.Errorf("%s: the policy differs (%v): %s", about, err, difference(others, edited))
				}
				if wasActivated := slices.Contains(session.run[:n-1], activate); !wasActivated && err == nil {
					t.Errorf("%s is not noticed", about)
				}
				wantCareful(t, sim)
			}
		}
	}
}

func TestAFailedCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	before := []string{"pass from any to srv_web", "block from any to any"}
	sim := start(t, before...)
	if err := sim.Write(snstest.ObjectFile, []byte("[Host]\ncrowdsec_ip_3325256711=198.51.100.7,resolve=static\n")); err != nil {
		t.Fatal(err)
	}
	session := dial(t, sim)
	change, err := filter.Install(t.Context(), session, wanted())
	if err != nil {
		t.Fatal(err)
	}
	if err := change.Apply(t.Context(), session, filter.Options{}); err == nil || !strings.Contains(err.Error(), "position 2: unknown object srv_web") {
		t.Errorf("error %v", err)
	}
	wantPolicy(t, sim, before)
}

func TestAnApplianceWithoutTheGroupSaysSo(t *testing.T) {
	t.Parallel()
	before := policy()
	sim := start(t, before...)
	session := dial(t, sim)
	change, err := filter.Install(t.Context(), session, wanted(func(w *filter.Wanted) { w.Group = "Unknown" }))
	if err != nil {
		t.Fatal(err)
	}
	var unknown *filter.UnknownGroupError
	if err := change.Apply(t.Context(), session, filter.Options{}); !errors.As(err, &unknown) || unknown.Group != "Unknown" {
		t.Errorf("error %v", err)
	}
	wantPolicy(t, sim, before)
	wantCareful(t, sim)
}

func TestARuleOfOurNameWithoutOurCommentIsSomebodyElses(t *testing.T) {
	t.Parallel()
	before := []string{"rulename=crowdsec: block from any to srv_web # mine"}
	sim := start(t, before...)
	sim.SetFaults(func(f *snstest.Faults) { f.ShowRuleNames = true })
	session := dial(t, sim)
	for _, make := range []func(context.Context, filter.Session, filter.Wanted) (*filter.Change, error){filter.Install, filter.Remove} {
		if _, err := make(t.Context(), session, wanted()); err == nil || !strings.Contains(err.Error(), "is not ours") {
			t.Errorf("error %v", err)
		}
	}
	wantPolicy(t, sim, before)
}

func TestRemoveTakesOnlyTheRulesOfItsName(t *testing.T) {
	t.Parallel()
	other := wanted(direction("both"), func(w *filter.Wanted) { w.Name = "crowdsec-2" })
	before := append(policy()[:10], ours(other)...)
	sim := start(t, before...)
	session := dial(t, sim)
	install(t, session, wanted(direction("both")))
	// An administrator copied a rule of ours.
	if err := sim.SetPolicy(snstest.DefaultSlot, append(sim.Policy(snstest.DefaultSlot), strings.TrimPrefix(ours(wanted())[0], "rulename=crowdsec: "))...); err != nil {
		t.Fatal(err)
	}
	remove(t, session, wanted())
	wantPolicy(t, sim, before)
}

func TestAnotherSlotThanTheActiveOneIsNotMadeActive(t *testing.T) {
	t.Parallel()
	before := policy()
	sim := start(t, before...)
	session := dial(t, sim)
	w := wanted(func(w *filter.Wanted) { w.Slot = 7 })
	install(t, session, w)
	wantPolicy(t, sim, before)
	if got := sim.Policy(7); !slices.Equal(got, ours(w)) || sim.ActiveSlot() != snstest.DefaultSlot {
		t.Errorf("slot 7 has %q, slot %d is active", got, sim.ActiveSlot())
	}
	if install(t, session, w) {
		t.Error("the second install did something")
	}
}

func TestAnApplianceThatRefusesUseCloneNeedsActivatePending(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]string{"shows what is activated": "", "shows the copy": " useclone=1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := policy()
			sim := start(t, before...)
			session := withoutUseClone{dial(t, sim), plain}
			change, err := filter.Install(t.Context(), session, wanted())
			if err != nil || !change.Policy.Unsplit {
				t.Fatal(err)
			}
			var inactive *filter.InactiveEditsError
			if err := change.Apply(t.Context(), session, filter.Options{}); !errors.As(err, &inactive) || inactive.Edits != nil {
				t.Errorf("error %v", err)
			}
			wantPolicy(t, sim, before)
			if err := change.Apply(t.Context(), session, filter.Options{ActivatePending: true}); err != nil {
				t.Fatal(err)
			}
			wantPolicy(t, sim, append(ours(wanted()), before...))
			wantCareful(t, sim)
		})
	}
}

func TestInForceSeesTheEnabledRulesOfTheActiveSlot(t *testing.T) {
	t.Parallel()
	sim := start(t)
	session := dial(t, sim)
	for _, c := range []struct {
		lines []string
		want  filter.Use
	}{
		{nil, filter.Use{}},
		{ours(wanted()), filter.Use{AsSource: true}},
		{ours(wanted(direction("both"))), filter.Use{AsSource: true, AsDestination: true}},
		{[]string{"log from any to net_lan|Crowdsec # of an administrator"}, filter.Use{AsDestination: true}},
		{[]string{"off block from Crowdsec to any"}, filter.Use{}},
		{[]string{"pass from Crowdsec to any", "separator; color=C0C0C0; collapse=0; comment=Crowdsec"}, filter.Use{}},
		{[]string{"block from !Crowdsec to any"}, filter.Use{}},
		{[]string{"block from srv_web to any # from Crowdsec to any"}, filter.Use{}},
	} {
		if err := sim.SetPolicy(snstest.DefaultSlot, c.lines...); err != nil {
			t.Fatal(err)
		}
		for _, s := range []filter.Session{session, withoutUseClone{session, ""}} {
			if got, err := filter.InForce(t.Context(), s, "Crowdsec"); err != nil || got != c.want {
				t.Errorf("%q: %+v, %v, want %+v", c.lines, got, err, c.want)
			}
		}
	}
	if err := sim.AdminEditPolicy(snstest.DefaultSlot, func([]string) []string { return ours(wanted()) }); err != nil {
		t.Fatal(err)
	}
	if got, err := filter.InForce(t.Context(), session, "Crowdsec"); err != nil || got != (filter.Use{}) {
		t.Errorf("an inactive edit: %+v, %v", got, err)
	}
	sim.SetFaults(func(f *snstest.Faults) { f.Ret = map[string]int{"CONFIG SLOT LIST": 205} })
	if _, err := filter.InForce(t.Context(), session, "Crowdsec"); err == nil {
		t.Error("no answer is no error")
	}
}

func TestAnInstalledRuleDecidesAboutPackets(t *testing.T) {
	t.Parallel()
	sim := start(t, policy()...)
	session := dial(t, sim)
	banned, other := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.10")
	for _, action := range []string{"block", "reset", "log"} {
		for _, d := range []string{"in", "out", "both"} {
			t.Run(fmt.Sprint(action, " ", d), func(t *testing.T) {
				sim.Reboot() // the running rules read the files
				session = dial(t, sim)
				w := wanted(direction(d), func(w *filter.Wanted) { w.Action = action })
				install(t, session, w)
				for _, packet := range []struct {
					from, to netip.Addr
					met      bool
				}{{banned, other, d != "out"}, {other, banned, d != "in"}} {
					verdict := sim.Packet(packet.from, packet.to)
					if isOurs := strings.HasPrefix(verdict.By, "crowdsec"); action != "log" && (packet.met != isOurs || isOurs && verdict.Action != action) {
						t.Errorf("from %s to %s: %+v", packet.from, packet.to, verdict)
					}
					if action == "log" && verdict.Logged != packet.met {
						t.Errorf("from %s to %s: %+v", packet.from, packet.to, verdict)
					}
				}
				remove(t, session, w)
			})
		}
	}
}

// A group that a rule names must not be removed because the list spells it in other letters.
func TestAGroupInOtherLettersIsTheSameGroup(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]filter.Use{
		"block from Crowdsec to any": {AsSource: true}, "block from any to Crowdsec": {AsDestination: true}, "pass from !Crowdsec to any": {},
	} {
		session := dial(t, start(t, line))
		named, err := filter.Named(t.Context(), session, "CROWDSEC", "other")
		if err != nil || !slices.Equal(named, []string{"CROWDSEC"}) {
			t.Errorf("%s: named are %v, %v", line, named, err)
		}
		if use, err := filter.InForce(t.Context(), session, "CROWDSEC"); err != nil || use != want {
			t.Errorf("%s: %+v, %v", line, use, err)
		}
	}
}
