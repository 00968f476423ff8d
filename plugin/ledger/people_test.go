package ledger_test

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

func TestBansAreListedSoonestToEndFirstWithWhatIsKnownOfThem(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.8/32", start.Add(2*time.Hour)), aBan("203.0.113.7/32", start.Add(time.Hour)))
	wrote(t, l, plan(t, l, start), all(plan(t, l, start), start))
	record(t, l, start, ban.Ban{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Until: start.Add(time.Minute), Origin: "lists:tor", Scenario: "tor"})
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
	known := aBan("203.0.113.7/32", start)
	why := " " + known.Origin + " " + known.Scenario + " true"
	want(t, "bans", list(start), []string{"198.51.100.0/24 1m0s lists:tor tor false", "203.0.113.7/32 1h0m0s" + why, "203.0.113.8/32 2h0m0s" + why})
	want(t, "bans, an hour later", list(start.Add(time.Hour)), []string{"203.0.113.8/32 2h0m0s" + why})
	enough := errors.New("enough")
	want(t, "error", l.EachBan(t.Context(), start, func(ledger.Ban) error { return enough }), enough)
}

func TestABanThatSomebodyEndsIsOwedItsRemovalAndOtherProcessesHearOfIt(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.7/32", start.Add(time.Hour)), aBan("203.0.113.0/24", start.Add(time.Hour)))
	wrote(t, l, plan(t, l, start), all(plan(t, l, start), start))
	before, err := l.News(t.Context())
	want(t, "error", err, nil)
	for prefix, isThere := range map[string]bool{"203.0.113.0/24": true, "203.0.113.8/32": false} {
		ended, err := l.End(t.Context(), []netip.Prefix{netip.MustParsePrefix(prefix)}, start)
		want(t, prefix+" ended", ended == 1, isThere)
		want(t, "error", err, nil)
	}
	want(t, "to unblock", texts(plan(t, l, start).Unblock), []string{"203.0.113.0/24"})
	after, err := l.News(t.Context())
	want(t, "changes", after.Change, before.Change+1)
	want(t, "its own", after.Own, true)
	want(t, "error", err, nil)
	again, err := l.End(t.Context(), []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, start.Add(time.Second))
	want(t, "ended twice", again, 0)
	want(t, "error", err, nil)
}

func TestStatusCountsWhatIsOwed(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.7/32", start.Add(time.Hour)), aBan("203.0.113.8/32", start.Add(2*time.Hour)))
	wrote(t, l, plan(t, l, start), all(plan(t, l, start), start))
	record(t, l, start, ban.Ban{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Until: start.Add(3 * time.Hour), Origin: "CAPI"})
	s, err := l.Status(t.Context(), start.Add(time.Hour))
	want(t, "error", err, nil)
	want(t, "in force, of lists, to block, to unblock", []int{s.InForce, s.Lists, s.ToBlock, s.ToUnblock}, []int{2, 1, 1, 1})
	want(t, "next", s.Next, start.Add(2*time.Hour))
	want(t, "flushed", s.Flushed, start)
	empty, err := l.Status(t.Context(), start.Add(24*time.Hour))
	want(t, "error", err, nil)
	want(t, "in force at the end", empty.InForce, 0)
	want(t, "next at the end", empty.Next.IsZero(), true)
}

func TestATroubleCountsUntilAFlushGoesWell(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.7/32", start.Add(time.Hour)))
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
	wrote(t, l, p, ledger.Outcome{Mark: p.Mark}) // acknowledged a part
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
	record(t, l, start, aBan("203.0.113.7/32", start.Add(time.Hour)))
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
	wrote(t, l, p, ledger.Outcome{Mark: p.Mark})
	want(t, "answered by one that failed", answered(), false)
	wrote(t, l, p, all(p, start))
	want(t, "answered", answered(), true)
	want(t, "asked afterwards", plan(t, l, start).Asked, false)
	news, err := l.News(t.Context())
	want(t, "request", news.Request, request)
	want(t, "error", err, nil)
}

func TestALeaseThatNobodyTookHasNoHolder(t *testing.T) {
	pid, err := ledger.Holder(filepath.Join(t.TempDir(), "test.lock"))
	want(t, "holder", pid, 0)
	want(t, "error", err, nil)
}
