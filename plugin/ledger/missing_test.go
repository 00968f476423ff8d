package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

// fullRead reads everything, and returns how many decisions the read lacked.
func fullRead(t *testing.T, l *ledger.Ledger, now time.Time, listed ...ban.Decision) int {
	t.Helper()
	r, err := l.BeginFullRead(t.Context())
	if err == nil {
		_, err = l.List(t.Context(), r, listed, now, many)
	}
	var lacked int
	if err == nil {
		lacked, err = l.EndFullRead(t.Context(), r, func(ban.Decision) bool { return true }, now)
	}
	if err != nil {
		t.Fatal(err)
	}
	return lacked
}

func endMissing(t *testing.T, l *ledger.Ledger, now time.Time) {
	t.Helper()
	if _, err := l.EndMissing(t.Context(), now, many); err != nil {
		t.Fatal(err)
	}
}

func TestADecisionThatIsOverIsNotMissing(t *testing.T) {
	l := open(t)
	record(t, l, start, identified(1, again, start.Add(minute)), identified(2, again, start.Add(time.Hour)))
	want(t, "lacked", fullRead(t, l, start.Add(2*minute), identified(2, again, start.Add(time.Hour))), 0)
}

func TestADecisionThatIsListedAgainIsNotMissingAnyMore(t *testing.T) {
	l := open(t)
	d := identified(1, again, start.Add(time.Hour))
	list(t, l, d)
	want(t, "lacked at first", fullRead(t, l, start), 1)
	want(t, "lacked when it is listed", fullRead(t, l, start, d), 0)
	want(t, "lacked again", fullRead(t, l, start), 1)
	endMissing(t, l, start)
	want(t, "in force", plan(t, l, start).InForce, 1)
	want(t, "lacked twice", fullRead(t, l, start), 1)
	endMissing(t, l, start)
	want(t, "in force at last", plan(t, l, start).InForce, 0)
}

func TestAFullReadOfThousandsFindsWhatItLacks(t *testing.T) {
	l := open(t)
	var decisions []ban.Decision
	for i := range 3500 {
		decisions = append(decisions, identified(int64(i+1), fmt.Sprintf("203.0.%d.%d/32", i/256, i%256), start.Add(time.Hour)))
	}
	list(t, l, decisions...)
	for range 2 {
		want(t, "lacked", fullRead(t, l, start, decisions[:1200]...), 2300)
	}
	m, err := l.Missing(t.Context(), start)
	want(t, "error", err, nil)
	want(t, "missing", m.Count, 2300)
	want(t, "sample", len(m.Sample), 8)
	endMissing(t, l, start)
	want(t, "in force", plan(t, l, start).InForce, 1200)
}
