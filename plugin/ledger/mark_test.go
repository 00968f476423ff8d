package ledger_test

import (
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ledger"
)

// flushed records bans and has all of them written under a mark.
func flushed(t *testing.T, prefixes ...string) *ledger.Ledger {
	t.Helper()
	l := open(t)
	for _, p := range prefixes {
		record(t, l, start, decided(p, start.Add(time.Hour)))
	}
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))
	return l
}

func TestWhileAMarkStandsThePlanNamesAllThatTheFilesDifferBy(t *testing.T) {
	l := flushed(t, "203.0.113.1/32", "203.0.113.2/32")
	record(t, l, start, decided("203.0.113.3/32", start.Add(3*time.Hour)), decided("203.0.113.2/32", start.Add(2*time.Hour)))

	later := start.Add(time.Hour)
	p := plan(t, l, later)
	want(t, "mark", p.Mark, "mark")
	want(t, "to add", texts(p.Add), []string{"203.0.113.3/32"})
	want(t, "to remove", texts(p.Remove), []string{"203.0.113.1/32"})
	want(t, "in force", p.InForce, 2)
	want(t, "standing", standing(t, l, p), []string{"203.0.113.2/32", "203.0.113.3/32"})
}

func TestAFailedFlushLeavesTheMarkItTellsOf(t *testing.T) {
	l := flushed(t, "203.0.113.1/32")
	record(t, l, start, decided("203.0.113.2/32", start.Add(time.Hour)))
	wrote(t, l, plan(t, l, start), appliance.Outcome{Mark: "mark"}) // it failed before the files were written
	p := plan(t, l, start)
	want(t, "mark", p.Mark, "mark")
	want(t, "to add", texts(p.Add), []string{"203.0.113.2/32"})

	wrote(t, l, p, appliance.Outcome{}) // it failed in the midst of it
	want(t, "mark of files that may be anything", plan(t, l, start).Mark, "")
	wrote(t, l, p, appliance.Outcome{Listed: true, Mark: "next"}) // it failed later
	p = plan(t, l, start)
	want(t, "mark", p.Mark, "next")
	want(t, "to add", len(p.Add), 0)
}

// A crash is a write that fails here, and stops all that would come after.
func TestACrashWhileWritingDownLeavesNoMarkThatIsWrong(t *testing.T) {
	for at, statement := range map[string]string{
		"the rows":       "CREATE TRIGGER crash BEFORE UPDATE OF written ON ban BEGIN SELECT RAISE(ABORT, 'crash'); END",
		"the last facts": "CREATE TRIGGER crash BEFORE UPDATE ON flushing WHEN NEW.mark = 'next' BEGIN SELECT RAISE(ABORT, 'crash'); END",
	} {
		l := flushed(t, "203.0.113.1/32")
		record(t, l, start, decided("203.0.113.2/32", start.Add(time.Hour)))
		p := plan(t, l, start)
		if err := l.Run(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		if err := l.Wrote(t.Context(), p, appliance.Outcome{Listed: true, Cleared: true, Mark: "next", At: start}); err == nil {
			t.Errorf("%s: no crash", at)
		}
		want(t, "mark after a crash in "+at, plan(t, l, start).Mark, "")
	}
}

func TestABanThatWaitsSinceAFlushBeganIsUnblockedAfterIt(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.1/32", start.Add(time.Hour)), decided("203.0.113.2/32", start.Add(2*time.Hour)))
	p := plan(t, l, start)
	if err := l.Choose(t.Context(), start.Add(-time.Second), 1); err != nil {
		t.Fatal(err)
	}
	asserted := all(p, start)
	asserted.Blocked, asserted.Asserted, asserted.AssertedUntil = nil, start, start.Add(24*time.Hour)
	wrote(t, l, p, asserted)

	p = plan(t, l, start)
	want(t, "to unblock", texts(p.Unblock), []string{"203.0.113.1/32"})
	want(t, "to remove", texts(p.Remove), []string{"203.0.113.1/32"})
	want(t, "in force", p.InForce, 1)
}

func TestAFlushByGroupThatACrashCutIsComparedWholeAlsoWhenEverythingHasEnded(t *testing.T) {
	l := open(t)
	record(t, l, start, numbered(0, 50)...)
	p := plan(t, l, start)
	if err := l.Begin(t.Context(), p, false); err != nil {
		t.Fatal(err)
	}
	// The process dies here, whatever the appliance did.
	later := start.Add(2 * time.Hour)
	p = plan(t, l, later)
	want(t, "in force", p.InForce, 0)
	want(t, "due", p.Due(), true)
	want(t, "mark", p.Mark, "")
	wrote(t, l, p, appliance.Outcome{Mark: p.Mark})
	want(t, "due after a flush that failed", plan(t, l, later).Due(), true)
	s, err := l.Status(t.Context(), later)
	want(t, "error", err, nil)
	want(t, "pending since", s.Pending, start)
	wrote(t, l, p, appliance.Outcome{Listed: true, Cleared: true, Mark: "mark", At: later})
	want(t, "due after one that ended well", plan(t, l, later).Due(), false)
}

func TestForgetTakesTheMarkBack(t *testing.T) {
	l := flushed(t, "203.0.113.1/32")
	p := plan(t, l, start)
	wrote(t, l, p, appliance.Outcome{Mark: "mark", Asserted: start, AssertedUntil: start.Add(time.Hour), At: start})
	want(t, "confirmed by the group", plan(t, l, start).Confirmed, start)
	if err := l.Forget(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	p = plan(t, l, start)
	want(t, "mark", p.Mark, "")
	want(t, "confirmed", p.Confirmed, time.Time{})
	want(t, "to add", texts(p.Add), []string{"203.0.113.1/32"})
}
