package ledger_test

import (
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ledger"
)

// edge is an appliance as a configuration names it.
var edge = ledger.Target{Host: "192.0.2.1:443", Identity: "key", Group: "Crowdsec", DeleteGroup: "Gone"}

func target(t *testing.T, l *ledger.Ledger) ledger.Target {
	t.Helper()
	is, err := l.Target(t.Context())
	check(t, err)
	return is
}

func setTarget(t *testing.T, l *ledger.Ledger, named ledger.Target) ledger.Target {
	t.Helper()
	check(t, l.SetTarget(t.Context(), named, start.Add(30*time.Minute)))
	return target(t, l)
}

// applied returns a ledger about edge in which the bans 203.0.113.1 and 203.0.113.2 are
// acknowledged, for an hour and for two.
func applied(t *testing.T, serial string) *ledger.Ledger {
	t.Helper()
	l := open(t)
	setTarget(t, l, edge)
	record(t, l, start, decided("203.0.113.1/32", start.Add(time.Hour)), decided("203.0.113.2/32", start.Add(2*time.Hour)))
	p := plan(t, l, start)
	o := byGroup(p, start)
	o.Serial = serial
	recordOutcome(t, l, p, o)
	return l
}

func TestEverythingIsPendingWhenTheConfigurationNamesAnotherAppliance(t *testing.T) {
	for what, change := range map[string]func(*ledger.Target){
		"host":           func(e *ledger.Target) { e.Host = "192.0.2.2:443" },
		"identity":       func(e *ledger.Target) { e.Identity = "other" },
		"group":          func(e *ledger.Target) { e.Group = "Blocked" },
		"group to empty": func(e *ledger.Target) { e.DeleteGroup = "Ended" },
		"serial number":  func(e *ledger.Target) { e.Serial = "B" },
	} {
		t.Run(what, func(t *testing.T) {
			l := applied(t, "A")
			later := start.Add(time.Hour)
			want(t, "pending before", plan(t, l, start).HasPending(), false)
			named := edge
			change(&named)
			setTarget(t, l, named)
			p := plan(t, l, later)
			want(t, "to block", blocks(p), []string{"203.0.113.2/32"})
			want(t, "to add", texts(p.Add), []string{"203.0.113.2/32"})
			want(t, "to unblock", texts(p.Unblock), []string{"203.0.113.1/32"})
			want(t, "mark", p.Mark, "")
			want(t, "confirmed", p.Confirmed, time.Time{})
			s := status(t, l, later)
			want(t, "status: to block, to unblock", []int{s.ToBlock, s.ToUnblock}, []int{1, 1})
			want(t, "status: pending since the change", s.Pending, start.Add(30*time.Minute))
		})
	}
}

func TestTheAcknowledgementsOfTheSameApplianceStay(t *testing.T) {
	known := edge
	known.Serial = "A"
	for what, named := range map[string]ledger.Target{"the same configuration": edge, "the same serial number": known} {
		l := applied(t, "A")
		is := setTarget(t, l, named)
		if p := plan(t, l, start); p.HasPending() || p.Mark != "mark" {
			t.Errorf("%s: %+v", what, p)
		}
		want(t, "serial number after "+what, is.Serial, "A")
	}
}

func TestAnUnknownSerialNumberChangesNothing(t *testing.T) {
	l := applied(t, "")
	p := plan(t, l, start)
	want(t, "serial number", p.Target.Serial, "")
	recordOutcome(t, l, p, appliance.Outcome{Mark: "mark", Serial: "A", At: start})
	p = plan(t, l, start)
	want(t, "serial number after the appliance gave it", p.Target.Serial, "A")
	recordOutcome(t, l, p, appliance.Outcome{Mark: "mark", At: start})
	p = plan(t, l, start)
	want(t, "serial number when the appliance does not give it", p.Target.Serial, "A")
	want(t, "pending", p.HasPending(), false)
}

func TestOldGroupsStayRecordedUntilTheyAreGone(t *testing.T) {
	l := applied(t, "A")
	second, third := edge, edge
	second.Group, third.Group, third.DeleteGroup = "Second", "Third", "Ended"
	setTarget(t, l, second)
	is := setTarget(t, l, third)
	want(t, "old groups", is.OldGroups, []string{"Crowdsec", "Second", "Gone"})
	want(t, "serial number", is.Serial, "A")

	flush(t, l, start, byGroup)
	want(t, "pending while old groups are there", plan(t, l, start).HasPending(), true)

	is = setTarget(t, l, edge) // back to the first names
	want(t, "old groups after the names of before", is.OldGroups, []string{"Second", "Third", "Ended"})
	flush(t, l, start, func(p ledger.Plan, now time.Time) appliance.Outcome {
		o := byGroup(p, now)
		o.OldGroupsGone = true
		return o
	})
	p := plan(t, l, start)
	want(t, "old groups when they are gone", len(p.Target.OldGroups), 0)
	want(t, "pending", p.HasPending(), false)
	want(t, "serial number", p.Target.Serial, "A")
}

func TestAnotherHostHasNoOldGroups(t *testing.T) {
	l := applied(t, "A")
	other := ledger.Target{Host: "192.0.2.2:443", Group: "Other", DeleteGroup: "Ended"}
	is := setTarget(t, l, other)
	want(t, "target", is, other)
	want(t, "is elsewhere", is.IsElsewhere(edge), true)
}

func TestEverythingIsPendingAfterACleanUp(t *testing.T) {
	l := applied(t, "A")
	want(t, "confirmed by the group", plan(t, l, start).Confirmed, start)
	later := start.Add(90 * time.Minute)
	check(t, l.RecordUnsure(t.Context(), plan(t, l, later)))
	check(t, l.RecordCleanup(t.Context(), later))
	want(t, "target", target(t, l), ledger.Target{})
	p := plan(t, l, later)
	want(t, "to block", blocks(p), []string{"203.0.113.2/32"})
	want(t, "to add", texts(p.Add), []string{"203.0.113.2/32"})
	want(t, "to unblock, to remove", len(p.Unblock)+len(p.Remove), 0)
	want(t, "mark", p.Mark, "")
	want(t, "confirmed", p.Confirmed, time.Time{})
	want(t, "unsure", p.Unsure, false)
	want(t, "pending since", status(t, l, later).Pending, later)
}

func TestEntriesOfACutGroupFlushAreUnblockedWithoutSSH(t *testing.T) {
	l := applied(t, "A")
	record(t, l, start, decided("203.0.113.3/32", start.Add(time.Minute)), decided("203.0.113.4/32", start.Add(2*time.Hour)))
	p := plan(t, l, start)
	check(t, l.RecordUnsure(t.Context(), p)) // the flush blocks the group, and is cut
	later := start.Add(30 * time.Minute)
	p = plan(t, l, later)
	recordOutcome(t, l, p, appliance.Outcome{At: later}) // a flush over the API alone
	check(t, l.Tidy(t.Context(), p))
	withoutSSH := edge
	withoutSSH.Group, withoutSSH.DeleteGroup = "", ""
	setTarget(t, l, withoutSSH)
	p = plan(t, l, later)
	want(t, "to block", blocks(p), []string{"203.0.113.1/32", "203.0.113.2/32", "203.0.113.4/32"})
	want(t, "to unblock", texts(p.Unblock), []string{"203.0.113.3/32"})
}

func TestNothingOfTheFilterRuleIsLeftWhenTheBlacklistEnforcesAgain(t *testing.T) {
	both, rule := edge, edge
	both.ByRule = true
	rule.ByRule, rule.WithoutBlacklist = true, true
	for what, back := range map[string]func(*ledger.Ledger){
		"from both": func(l *ledger.Ledger) { setTarget(t, l, both) },
		"from rule": func(l *ledger.Ledger) { setTarget(t, l, rule) },
		"from rule, with a clean-up between": func(l *ledger.Ledger) {
			setTarget(t, l, rule)
			check(t, l.RecordCleanup(t.Context(), start))
		},
	} {
		l := applied(t, "A")
		check(t, l.RecordFailure(t.Context(), ledger.Files, "run enfilter -u", 0, start))
		back(l)
		setTarget(t, l, edge)
		if p := plan(t, l, start); p.EntriesLeft || !p.Stale.IsZero() {
			t.Errorf("%s: %+v", what, p)
		}
		if s := status(t, l, start); !s.Stale.IsZero() || s.Files.Count > 0 {
			t.Errorf("%s: status says %+v", what, s)
		}
	}
}
