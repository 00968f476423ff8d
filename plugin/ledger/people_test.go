package ledger_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

func TestBansAreListedSoonestToEndFirstWithWhatIsKnownOfThem(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.8/32", start.Add(2*time.Hour)), decided("203.0.113.7/32", start.Add(time.Hour)))
	wrote(t, l, plan(t, l, start), all(plan(t, l, start), start))
	record(t, l, start, ban.Decision{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Bits: 24, Until: start.Add(time.Minute), Origin: "lists:tor", Scenario: "tor"})
	list := func(now time.Time) (lines []string) {
		t.Helper()
		if err := l.EachBan(t.Context(), now, func(b ledger.Ban) error {
			lines = append(lines, fmt.Sprint(b.Prefix, " ", b.Until.Sub(start), " ", b.Origin, " ", b.Scenario, " ", b.Blocked))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return lines
	}
	known := decided("203.0.113.7/32", start)
	why := " " + known.Origin + " " + known.Scenario + " true"
	want(t, "bans", list(start), []string{"198.51.100.0/24 1m0s lists:tor tor false", "203.0.113.7/32 1h0m0s" + why, "203.0.113.8/32 2h0m0s" + why})
	want(t, "bans, an hour later", list(start.Add(time.Hour)), []string{"203.0.113.8/32 2h0m0s" + why})
	enough := errors.New("enough")
	want(t, "error", l.EachBan(t.Context(), start, func(ledger.Ban) error { return enough }), enough)
}

func TestALiftedBanIsUnblockedAndOtherProcessesNoticeIt(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)), decided("203.0.113.0/24", start.Add(time.Hour)))
	wrote(t, l, plan(t, l, start), all(plan(t, l, start), start))
	before, err := l.News(t.Context())
	want(t, "error", err, nil)
	for prefix, isThere := range map[string]int{"203.0.113.0/24": 1, "203.0.113.8/32": 0} {
		lifted, err := l.Lift(t.Context(), netip.MustParsePrefix(prefix), start, many)
		want(t, prefix+" lifted", len(lifted), isThere)
		want(t, "error", err, nil)
	}
	want(t, "to unblock", texts(plan(t, l, start).Unblock), []string{"203.0.113.0/24"})
	after, err := l.News(t.Context())
	want(t, "changes", after.Change, before.Change+1)
	want(t, "its own", after.Own, true)
	want(t, "error", err, nil)
	again, err := l.Lift(t.Context(), netip.MustParsePrefix("203.0.113.0/24"), start.Add(time.Second), many)
	want(t, "lifted twice", len(again), 0)
	want(t, "error", err, nil)
}

func TestALiftedDecisionStaysLiftedAndANewOneBlocks(t *testing.T) {
	l := open(t)
	lifted := identified(1, "203.0.113.7/32", start.Add(time.Hour))
	record(t, l, start, lifted)
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))
	if _, err := l.Lift(t.Context(), lifted.Prefix, start, many); err != nil {
		t.Fatal(err)
	}
	p = plan(t, l, start)
	wrote(t, l, p, all(p, start))
	list(t, l, lifted)
	p = plan(t, l, start)
	want(t, "in force after the next full read", p.InForce, 0)
	want(t, "due", p.Due(), false)

	list(t, l, identified(2, "203.0.113.7/32", start.Add(2*time.Hour)))
	want(t, "to block after a new decision", blocks(plan(t, l, start)), []string{"203.0.113.7/32"})
}

func TestThePartsOfARangeAreLiftedWithItAndNothingElse(t *testing.T) {
	l := open(t)
	part := func(number int64, prefix string, bits int) ban.Decision {
		d := identified(number, prefix, start.Add(time.Hour))
		d.Bits = bits
		return d
	}
	record(t, l, start, part(1, "203.0.113.0/25", 24), part(1, "203.0.113.192/26", 24), // around 203.0.113.128/26
		part(2, "203.0.113.7/32", 32), part(3, "203.0.113.192/26", 26), part(4, "203.0.0.0/16", 16), part(5, "198.51.100.0/25", 24))
	lifted, err := l.Lift(t.Context(), netip.MustParsePrefix("203.0.113.0/24"), start, many)
	want(t, "error", err, nil)
	want(t, "lifted", texts(lifted), []string{"203.0.113.0/25", "203.0.113.192/26"})
	want(t, "in force", standing(t, l, plan(t, l, start)), []string{"198.51.100.0/25", "203.0.0.0/16", "203.0.113.192/26", "203.0.113.7/32"})
}

func list(t *testing.T, l *ledger.Ledger, decisions ...ban.Decision) {
	t.Helper()
	if _, err := l.List(t.Context(), nil, decisions, start, many); err != nil {
		t.Fatal(err)
	}
}

func TestStatusCountsWhatIsOwed(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)), decided("203.0.113.8/32", start.Add(2*time.Hour)))
	wrote(t, l, plan(t, l, start), all(plan(t, l, start), start))
	record(t, l, start, ban.Decision{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Bits: 24, Until: start.Add(3 * time.Hour), Origin: "CAPI"})
	s, err := l.Status(t.Context(), start.Add(time.Hour))
	want(t, "error", err, nil)
	want(t, "in force, of lists, to block, to unblock", []int{s.InForce[ban.Local], s.InForce[ban.Remote], s.ToBlock, s.ToUnblock}, []int{1, 1, 1, 1})
	want(t, "next", s.Next, start.Add(2*time.Hour))
	want(t, "flushed", s.Flushed, start)
	want(t, "pending since", s.Pending, start) // the range
	empty, err := l.Status(t.Context(), start.Add(24*time.Hour))
	want(t, "error", err, nil)
	want(t, "in force at the end", empty.InForce.Total(), 0)
	want(t, "next at the end", empty.Next.IsZero(), true)
}

func TestStatusSaysSinceWhenTheOldestIsPending(t *testing.T) {
	l := open(t)
	pending := func(after time.Duration) time.Time {
		t.Helper()
		s, err := l.Status(t.Context(), start.Add(after))
		want(t, "error", err, nil)
		return s.Pending
	}
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)))
	want(t, "after the first ban", pending(time.Minute), start)
	record(t, l, start.Add(time.Minute), decided("203.0.113.8/32", start.Add(3*time.Hour)))
	p := plan(t, l, start.Add(time.Minute))
	wrote(t, l, p, appliance.Outcome{Blocked: []appliance.Entry{{Prefix: netip.MustParsePrefix("203.0.113.7/32"), Expires: start.Add(time.Hour)}}})
	want(t, "when the first is blocked", pending(10*time.Minute), start.Add(time.Minute))
	p = plan(t, l, start.Add(10*time.Minute))
	wrote(t, l, p, appliance.Outcome{Listed: true, Asserted: start.Add(10 * time.Minute), AssertedUntil: start.Add(2 * time.Hour), At: start.Add(10 * time.Minute)})
	want(t, "when all are blocked", pending(11*time.Minute), time.Time{})
	want(t, "when one has ended", pending(90*time.Minute), start.Add(time.Hour))
	p = plan(t, l, start.Add(90*time.Minute))
	wrote(t, l, p, appliance.Outcome{Unblocked: p.Unblock, Mark: p.Mark})
	want(t, "when that one is unblocked", pending(91*time.Minute), time.Time{})
	want(t, "when the group's entries have ended", pending(150*time.Minute), start.Add(2*time.Hour))
}

func TestATroubleCountsUntilAFlushGoesWell(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)))
	trouble := func() ledger.Trouble {
		t.Helper()
		s, err := l.Status(t.Context(), start)
		want(t, "error", err, nil)
		return s.Trouble
	}
	want(t, "trouble at first", trouble(), ledger.Trouble{})
	for i, text := range []string{"refused", "no answer"} {
		want(t, "error", l.Failed(t.Context(), text, int64(i), start.Add(time.Duration(i)*time.Minute)), nil)
	}
	want(t, "trouble", trouble(), ledger.Trouble{Text: "no answer", Since: start, Last: start.Add(time.Minute), Count: 2, Request: 1})
	p := plan(t, l, start)
	wrote(t, l, p, appliance.Outcome{Mark: p.Mark}) // acknowledged a part
	want(t, "failures after a broken flush", trouble().Count, 2)
	wrote(t, l, p, all(p, start))
	want(t, "trouble after a good flush", trouble(), ledger.Trouble{})

	want(t, "error", l.Failed(t.Context(), "no answer", 0, start), nil)
	p = plan(t, l, start)
	want(t, "due", p.Due(), false)
	want(t, "stale", p.Stale, true)
	want(t, "error", l.Tidy(t.Context(), p), nil)
	want(t, "trouble when nothing is owed", trouble(), ledger.Trouble{})
	want(t, "stale afterwards", plan(t, l, start).Stale, false)
}

func TestARequestForAFlushIsAnsweredByTheFirstGoodOneThatBeganAfterIt(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)))
	underWay := plan(t, l, start)
	request, err := l.Ask(t.Context())
	want(t, "error", err, nil)
	answered := func() bool {
		t.Helper()
		s, err := l.Status(t.Context(), start)
		want(t, "error", err, nil)
		return s.Answered >= request
	}
	wrote(t, l, underWay, all(underWay, start))
	want(t, "answered by one that was under way", answered(), false)
	p := plan(t, l, start)
	want(t, "asked", p.Asked, true)
	wrote(t, l, p, appliance.Outcome{Mark: p.Mark})
	want(t, "answered by one that failed", answered(), false)
	wrote(t, l, p, all(p, start))
	want(t, "answered", answered(), true)
	want(t, "asked afterwards", plan(t, l, start).Asked, false)
	news, err := l.News(t.Context())
	want(t, "request", news.Request, request)
	want(t, "error", err, nil)
}
