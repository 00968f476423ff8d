package ledger_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ledger"
)

func TestEachBanListsTheBansByTheirEnds(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(2*time.Hour)), decided("203.0.113.8/32", start.Add(time.Hour)))
	flush(t, l, start, oneByOne)
	tor := ofOrigin("lists:tor", "198.51.100.0/24", start.Add(3*time.Hour))
	tor.Scenario = "tor"
	record(t, l, start, tor, decided("198.51.100.0/24", start.Add(time.Minute)))
	list := func(now time.Time) (lines []string) {
		check(t, l.EachBan(t.Context(), now, func(b ledger.Ban) error {
			lines = append(lines, fmt.Sprint(b.Prefix, " ", b.Until.Sub(start), " ", b.Origin, " ", b.Scenario, " ", b.Blocked))
			return nil
		}))
		return lines
	}
	last := []string{"203.0.113.7/32 2h0m0s crowdsec test true", "198.51.100.0/24 3h0m0s lists:tor tor false"}
	want(t, "bans", list(start), append([]string{"203.0.113.8/32 1h0m0s crowdsec test true"}, last...))
	want(t, "bans, an hour later", list(start.Add(time.Hour)), last)
	_, err := l.Lift(t.Context(), tor.Prefix, start, noLimit)
	check(t, err)
	record(t, l, start, decided("198.51.100.0/24", start.Add(2*time.Hour)))
	last = append([]string{"198.51.100.0/24 2h0m0s crowdsec test false"}, last[0])
	want(t, "bans, when one was lifted and decided on again", list(start.Add(time.Hour)), last)
	enough := errors.New("enough")
	want(t, "error", l.EachBan(t.Context(), start, func(ledger.Ban) error { return enough }), enough)
}

func TestStatusCountsWhatIsPending(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)), decided("203.0.113.8/32", start.Add(2*time.Hour)))
	flush(t, l, start, oneByOne)
	record(t, l, start, ofOrigin("CAPI", "198.51.100.0/24", start.Add(3*time.Hour)))
	s := status(t, l, start.Add(time.Hour))
	want(t, "to block, to unblock", []int{s.ToBlock, s.ToUnblock}, []int{1, 1})
	want(t, "next", s.Next, start.Add(2*time.Hour))
	want(t, "flushed", s.Flushed, start)
	want(t, "pending since", s.Pending, start) // the range
	want(t, "next at the end", status(t, l, start.Add(24*time.Hour)).Next.IsZero(), true)
}

func TestStatusSaysSinceWhenTheOldestBanIsPending(t *testing.T) {
	l := open(t)
	pending := func(after time.Duration) time.Time { return status(t, l, start.Add(after)).Pending }
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)))
	want(t, "after the first ban", pending(time.Minute), start)
	record(t, l, start.Add(time.Minute), decided("203.0.113.8/32", start.Add(3*time.Hour)))
	p := plan(t, l, start.Add(time.Minute))
	recordOutcome(t, l, p, appliance.Outcome{Blocked: []appliance.Entry{{Prefix: netip.MustParsePrefix("203.0.113.7/32"), Expires: start.Add(time.Hour)}}})
	want(t, "when the first is blocked", pending(10*time.Minute), start.Add(time.Minute))
	p = plan(t, l, start.Add(10*time.Minute))
	flushed := start.Add(10 * time.Minute)
	recordOutcome(t, l, p, appliance.Outcome{Listed: true, Asserted: flushed, AssertedUntil: start.Add(2 * time.Hour), At: flushed})
	want(t, "when all are blocked", pending(11*time.Minute), time.Time{})
	want(t, "when one has ended", pending(90*time.Minute), start.Add(time.Hour))
	p = plan(t, l, start.Add(90*time.Minute))
	recordOutcome(t, l, p, appliance.Outcome{Unblocked: p.Unblock, Mark: p.Mark})
	want(t, "when that one is unblocked", pending(91*time.Minute), time.Time{})
	want(t, "when the group's entries have ended", pending(150*time.Minute), start.Add(2*time.Hour))

	later := start.Add(4 * time.Hour)
	record(t, l, later, ofOrigin("lists:tor", address, later.Add(time.Hour)))
	flush(t, l, later, oneByOne)
	recordAtMost(t, l, 1, later.Add(time.Minute), decided("203.0.113.2/32", later.Add(time.Hour)))
	p = plan(t, l, later.Add(time.Minute))
	recordOutcome(t, l, p, appliance.Outcome{Blocked: oneByOne(p, later).Blocked, Mark: p.Mark})
	s := status(t, l, later.Add(2*time.Minute))
	want(t, "when one must wait, since a minute later", fmt.Sprint(s.ToUnblock, s.Pending), fmt.Sprint(1, later.Add(time.Minute)))
}

func TestAfterACrashOfAFlushByGroupTheFilesAreUnsure(t *testing.T) {
	l := open(t)
	record(t, l, start, numbered(0, 50)...)
	check(t, l.RecordUnsure(t.Context(), plan(t, l, start)))
	// The process dies here, whatever the appliance did.
	later := start.Add(2 * time.Hour)
	p := plan(t, l, later)
	want(t, "pending", p.HasPending(), true)
	recordOutcome(t, l, p, appliance.Outcome{Mark: p.Mark})
	want(t, "pending after a flush that failed", plan(t, l, later).HasPending(), true)
	want(t, "pending since", status(t, l, later).Pending, start)
}

func TestLeftoversThatWereNotUnblockedStayPending(t *testing.T) {
	l := open(t)
	record(t, l, start, decided(address, start.Add(time.Hour)))
	p := plan(t, l, start)
	o := oneByOne(p, time.Time{}) // the flush failed
	o.Cleared, o.Leftovers = false, 3
	recordOutcome(t, l, p, o)
	p = plan(t, l, start)
	want(t, "pending, mark, since", fmt.Sprint(p.HasPending(), p.Mark, status(t, l, start).Pending), fmt.Sprint(true, "", start))
	recordOutcome(t, l, p, oneByOne(p, start))
	want(t, "pending after a flush that ended well", plan(t, l, start).HasPending(), false)
}

func TestATroubleEndsWithTheFirstGoodFlush(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)))
	trouble := func() ledger.Trouble { return status(t, l, start).Trouble }
	want(t, "trouble at first", trouble(), ledger.Trouble{})
	for i, text := range []string{"refused", "no answer"} {
		check(t, l.RecordFailure(t.Context(), ledger.WholeFlush, text, int64(i), start.Add(time.Duration(i)*time.Minute)))
	}
	want(t, "trouble", trouble(), ledger.Trouble{Text: "no answer", Since: start, Last: start.Add(time.Minute), Count: 2, Request: 1})
	p := plan(t, l, start)
	recordOutcome(t, l, p, appliance.Outcome{Mark: p.Mark}) // acknowledged a part
	want(t, "failures after a broken flush", trouble().Count, 2)
	recordOutcome(t, l, p, oneByOne(p, start))
	want(t, "trouble after a good flush", trouble(), ledger.Trouble{})

	check(t, l.RecordFailure(t.Context(), ledger.WholeFlush, "no answer", 0, start))
	p = plan(t, l, start)
	want(t, "pending, needs tidy", []bool{p.HasPending(), p.NeedsTidy}, []bool{false, true})
	check(t, l.Tidy(t.Context(), p))
	want(t, "trouble when nothing is pending", trouble(), ledger.Trouble{})
	want(t, "needs tidy afterwards", plan(t, l, start).NeedsTidy, false)
}

func TestARequestForAFlushIsAnsweredByTheFirstGoodOneThatBeganAfterIt(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)))
	underWay := plan(t, l, start)
	request, err := l.RequestFlush(t.Context())
	check(t, err)
	answered := func() bool { return status(t, l, start).Answered >= request }
	recordOutcome(t, l, underWay, oneByOne(underWay, start))
	want(t, "answered by one that was under way", answered(), false)
	p := plan(t, l, start)
	want(t, "asked", p.Requested, true)
	recordOutcome(t, l, p, appliance.Outcome{Mark: p.Mark})
	want(t, "answered by one that failed", answered(), false)
	recordOutcome(t, l, p, oneByOne(p, start))
	want(t, "answered", answered(), true)
	want(t, "asked afterwards", plan(t, l, start).Requested, false)
	changes, err := l.Changes(t.Context())
	want(t, "changes, error", fmt.Sprint(changes, err), fmt.Sprint(ledger.Changes{Change: 1, Own: true, Request: request}, nil))
}
