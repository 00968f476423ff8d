package ledger_test

import (
	"net/netip"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ledger"
)

const (
	again      = "203.0.113.1/32"
	minute     = time.Minute
	halfMinute = 30 * time.Second
)

// asserted is an outcome in which the group named everything.
func asserted(p ledger.Plan, now time.Time) appliance.Outcome {
	o := all(p, now)
	o.Blocked, o.Asserted, o.AssertedUntil = nil, now, now.Add(24*time.Hour)
	return o
}

func TestABanThatEndsAndComesBackIsBlockedAndListedAnew(t *testing.T) {
	l := open(t)
	record(t, l, start, decided(again, start.Add(minute)))
	p := plan(t, l, start)
	wrote(t, l, p, asserted(p, start))

	later := start.Add(2 * minute)
	r := record(t, l, later, decided(again, later.Add(time.Hour)))
	want(t, "added", r.Added, 1)
	p = plan(t, l, later)
	want(t, "to block", blocks(p), []string{again})
	want(t, "to add", texts(p.Add), []string{again})
	want(t, "to unblock", len(p.Unblock), 0)
	want(t, "to remove", len(p.Remove), 0)
	wrote(t, l, p, all(p, later))
	want(t, "due afterwards", plan(t, l, later).Due(), false)
}

func TestABanThatComesBackAndEndsBetweenTwoFlushesIsStillTakenOff(t *testing.T) {
	l := open(t)
	record(t, l, start, decided(again, start.Add(minute)))
	p := plan(t, l, start)
	wrote(t, l, p, asserted(p, start))
	record(t, l, start.Add(2*minute), decided(again, start.Add(3*minute)))

	later := start.Add(4 * minute)
	p = plan(t, l, later)
	want(t, "to unblock", texts(p.Unblock), []string{again})
	want(t, "to remove", texts(p.Remove), []string{again})
	wrote(t, l, p, appliance.Outcome{Listed: true, Cleared: true, At: later}) // it could not be unblocked
	p = plan(t, l, later)
	want(t, "to unblock, still", texts(p.Unblock), []string{again})
	wrote(t, l, p, all(p, later))
	p = plan(t, l, later)
	want(t, "due at the end", p.Due() || p.Stale, false)
}

func TestABanThatComesBackDuringAFlushIsForTheNext(t *testing.T) {
	for name, story := range map[string]struct {
		recorded time.Time // by the clock of whoever recorded it
		outcome  func(p ledger.Plan, now time.Time) appliance.Outcome
	}{
		"taken off":           {start.Add(minute), all},
		"asserted":            {start.Add(minute), asserted},
		"by an earlier clock": {start.Add(minute - time.Second), all},
		"by an earlier clock, not unblocked": {start.Add(minute - time.Second), func(ledger.Plan, time.Time) appliance.Outcome {
			return appliance.Outcome{Listed: true, Cleared: true, Mark: "mark"}
		}},
	} {
		l := open(t)
		record(t, l, start, decided(again, start.Add(minute)))
		p := plan(t, l, start)
		wrote(t, l, p, asserted(p, start))

		now := start.Add(minute)
		p = plan(t, l, now)
		want(t, name+": to unblock", texts(p.Unblock), []string{again})
		record(t, l, story.recorded, decided(again, now.Add(time.Hour)))
		want(t, name+": standing when the plan was made", len(standing(t, l, p)), 0)
		wrote(t, l, p, story.outcome(p, now))

		p = plan(t, l, now)
		want(t, name+": to block", blocks(p), []string{again})
		want(t, name+": to add", texts(p.Add), []string{again})
		want(t, name+": in force", p.InForce, 1)
	}
}

func TestWhatIsFoundOnTheApplianceChangesNoBanThatIsKnown(t *testing.T) {
	l := flushed(t, "203.0.113.1/32")
	record(t, l, start, decided("203.0.113.2/32", start.Add(minute)))
	later := start.Add(halfMinute)
	found := []netip.Prefix{netip.MustParsePrefix("203.0.113.1/32"), netip.MustParsePrefix("203.0.113.2/32"), netip.MustParsePrefix("203.0.113.3/32")}
	r, err := l.RecordFound(t.Context(), found, later.Add(4*time.Hour), later, many)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "added", r.Added, 1)
	want(t, "standing once their own ends have come", standing(t, l, plan(t, l, start.Add(2*time.Hour))), []string{"203.0.113.3/32"})
}
