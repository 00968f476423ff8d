package ledger_test

import (
	"net/netip"
	"testing"
	"time"

	"notification-stormshield/appliance"
)

func TestWhatIsRecordedDuringAFlushStaysOwed(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Minute)))
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))

	later := start.Add(time.Minute)
	p = plan(t, l, later) // takes 203.0.113.7 off
	record(t, l, later, decided("203.0.113.7/32", later.Add(time.Hour)), decided("203.0.113.8/32", later.Add(time.Hour)))
	wrote(t, l, p, appliance.Outcome{Unblocked: p.Unblock, Listed: true, Cleared: true, Asserted: later, AssertedUntil: later.Add(24 * time.Hour), At: later})

	want(t, "to block", blocks(plan(t, l, later)), []string{"203.0.113.7/32", "203.0.113.8/32"})
}

func TestAnEntryThatACrashLeftUnacknowledgedIsOwedItsRemoval(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.1/32", start.Add(time.Hour)))
	p := plan(t, l, start)
	if err := l.Begin(t.Context(), p, false); err != nil {
		t.Fatal(err)
	}
	// The process dies here, whatever the appliance did.
	want(t, "to block", blocks(plan(t, l, start)), []string{"203.0.113.1/32"})
	written, err := l.Written(t.Context())
	want(t, "possibly on the appliance", texts(written), []string{"203.0.113.1/32"})
	want(t, "error", err, nil)
	want(t, "to unblock at its end", texts(plan(t, l, start.Add(time.Hour)).Unblock), []string{"203.0.113.1/32"})
}

func TestForgetOwesEverythingAgain(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.1/32", start.Add(time.Hour)), decided("203.0.113.2/32", start.Add(time.Minute)))
	p := plan(t, l, start)
	wrote(t, l, p, appliance.Outcome{Listed: true, Cleared: true, Asserted: start, AssertedUntil: start.Add(24 * time.Hour), At: start})
	later := start.Add(2 * time.Minute)
	if err := l.Forget(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	p = plan(t, l, later)
	want(t, "to block", blocks(p), []string{"203.0.113.1/32"})
	want(t, "to unblock", len(p.Unblock), 0)
	s, err := l.Status(t.Context(), later)
	want(t, "error", err, nil)
	want(t, "pending since", s.Pending, later)
}

func TestEndedBansThatWereNeverWrittenAreTidiedAway(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.1/32", start.Add(time.Minute)))
	later := start.Add(time.Hour)
	p := plan(t, l, later)
	want(t, "due", p.Due(), false)
	want(t, "stale", p.Stale, true)
	if err := l.Tidy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	want(t, "stale afterwards", plan(t, l, later).Stale, false)
}

func TestAFlushOneByOneConfirmsAllBansOnlyIfItBlockedEachOfThem(t *testing.T) {
	for what, c := range map[string]struct {
		change    func(*appliance.Outcome)
		confirmed bool
	}{
		"each is blocked":      {func(*appliance.Outcome) {}, true},
		"one is not":           {func(o *appliance.Outcome) { o.Blocked = o.Blocked[:1] }, false},
		"one is refused":       {func(o *appliance.Outcome) { o.Refused = []netip.Prefix{o.Blocked[1].Prefix} }, false},
		"the flush has failed": {func(o *appliance.Outcome) { o.At = time.Time{} }, false},
	} {
		l := open(t)
		record(t, l, start, decided("203.0.113.1/32", start.Add(time.Hour)), decided("203.0.113.2/32", start.Add(time.Hour)))
		p := plan(t, l, start)
		o := all(p, start)
		c.change(&o)
		wrote(t, l, p, o)
		want(t, what, !plan(t, l, start).Confirmed.IsZero(), c.confirmed)
	}
}
