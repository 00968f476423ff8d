package ledger_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ledger"
)

func TestARemovalIsPendingUntilItIsAcknowledgedAndTheFilesAreWritten(t *testing.T) {
	l := open(t)
	record(t, l, start, decided(address, start.Add(time.Hour)))
	check(t, l.RecordAttempt(t.Context(), plan(t, l, start)))
	written, err := l.OnAppliance(t.Context())
	want(t, "prefixes that the appliance may have, error", fmt.Sprint(written, err), fmt.Sprint([]string{address}, nil))
	later := start.Add(time.Hour)
	p := plan(t, l, start)
	recordOutcome(t, l, p, appliance.Outcome{Blocked: oneByOne(p, start).Blocked}) // the files could not be written
	recordOutcome(t, l, plan(t, l, later), appliance.Outcome{})                    // nor could anything be unblocked
	want(t, "to unblock, though it is not in the files", texts(plan(t, l, later).Unblock), []string{address})

	flush(t, l, start, oneByOne)
	p = plan(t, l, later)
	want(t, "to unblock", texts(p.Unblock), []string{address})
	recordOutcome(t, l, p, appliance.Outcome{Unblocked: p.Unblock, At: later}) // the files could not be written
	p = plan(t, l, later)
	want(t, "to unblock, to remove once unblocked", fmt.Sprint(p.Unblock, p.Remove), fmt.Sprint([]string{}, []string{address}))
	recordOutcome(t, l, p, appliance.Outcome{Listed: true, Cleared: true, At: later})
	p = plan(t, l, later)
	want(t, "pending, needs tidy at the end", []bool{p.HasPending(), p.NeedsTidy}, []bool{false, false})

	record(t, l, later, decided(address, later.Add(time.Minute)))
	p = plan(t, l, later.Add(time.Hour))
	want(t, "pending, needs tidy after one that was never written", []bool{p.HasPending(), p.NeedsTidy}, []bool{false, true})
	check(t, l.Tidy(t.Context(), p))
	want(t, "needs tidy afterwards", plan(t, l, later.Add(time.Hour)).NeedsTidy, false)
}

func TestAShortEntryIsRenewedOnlyWhenItsBanOutlastsIt(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(30*24*time.Hour)), decided("203.0.113.8/32", start.Add(24*time.Hour)))
	p := plan(t, l, start)
	o := oneByOne(p, start)
	for i := range o.Blocked {
		o.Blocked[i].Expires = start.Add(24 * time.Hour)
	}
	recordOutcome(t, l, p, o)
	want(t, "pending at once", plan(t, l, start).HasPending(), false)
	want(t, "to block after half the time", blocks(plan(t, l, start.Add(13*time.Hour))), []string{"203.0.113.7/32"})
}

func TestABanWhoseRenewalIsRefusedIsUnblockedAtItsEnd(t *testing.T) {
	l := open(t)
	record(t, l, start, decided(address, start.Add(48*time.Hour)))
	p := plan(t, l, start)
	o := oneByOne(p, start)
	o.Blocked[0].Expires = start.Add(24 * time.Hour)
	recordOutcome(t, l, p, o)
	later := start.Add(13 * time.Hour)
	p = plan(t, l, later)
	want(t, "to renew", blocks(p), []string{address})
	check(t, l.RecordAttempt(t.Context(), p))
	recordOutcome(t, l, p, appliance.Outcome{Refused: []netip.Prefix{p.Block[0].Prefix}, At: later})
	want(t, "to renew after a refusal", blocks(plan(t, l, later)), []string{address})
	_, err := l.Lift(t.Context(), netip.MustParsePrefix(address), later, noLimit)
	check(t, err)
	want(t, "to unblock", texts(plan(t, l, later).Unblock), []string{address})
}

func TestABanThatTheGroupBlockedNeedsNoEntryOfItsOwn(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)), decided("203.0.113.8/32", start.Add(48*time.Hour)))
	flush(t, l, start, byGroup)
	want(t, "pending", plan(t, l, start).HasPending(), false)
	record(t, l, start, decided("203.0.113.9/32", start.Add(time.Hour)))
	want(t, "to block: only what came later", blocks(plan(t, l, start)), []string{"203.0.113.9/32"})

	p := plan(t, l, start.Add(2*time.Hour))
	want(t, "to unblock: never written is not pending", texts(p.Unblock), []string{"203.0.113.7/32"})
	want(t, "asserted until", p.AssertedUntil, start.Add(24*time.Hour))
}

func TestAPlanSaysWhetherItBlocksAllThatIsInForce(t *testing.T) {
	l := open(t)
	want(t, "nothing in force", plan(t, l, start).BlocksAll, true)
	record(t, l, start, numbered(0, 3)...)
	want(t, "all new", flush(t, l, start, oneByOne).BlocksAll, true)
	want(t, "nothing new", plan(t, l, start).BlocksAll, false)
	record(t, l, start, numbered(3, 1)...)
	want(t, "some new", plan(t, l, start).BlocksAll, false)

	l = open(t)
	record(t, l, start, numbered(0, 50)...)
	p := plan(t, l, start)
	want(t, "more than a few: to block, named, to add", []int{p.BlockCount, len(p.Block), len(p.Add)}, []int{50, 33, 50})
	want(t, "more than a few", p.BlocksAll, false)
}

func TestAFlushOneByOneConfirmsAllBansOnlyIfItBlockedEachOfThem(t *testing.T) {
	for what, c := range map[string]struct {
		change    func(*appliance.Outcome)
		confirmed bool
	}{
		"each is blocked": {func(*appliance.Outcome) {}, true},
		"one is not":      {func(o *appliance.Outcome) { o.Blocked = o.Blocked[:1] }, false},
		"one is refused": {func(o *appliance.Outcome) {
			o.Refused, o.Blocked = []netip.Prefix{o.Blocked[1].Prefix}, o.Blocked[:1]
		}, true},
		"the flush has failed": {func(o *appliance.Outcome) { o.At = time.Time{} }, false},
	} {
		l := open(t)
		record(t, l, start, numbered(0, 2)...)
		flush(t, l, start, func(p ledger.Plan, now time.Time) appliance.Outcome {
			o := oneByOne(p, now)
			c.change(&o)
			return o
		})
		want(t, what, !plan(t, l, start).Confirmed.IsZero(), c.confirmed)
	}
}

func TestABanThatComesBackDuringAFlushStaysPending(t *testing.T) {
	listed := func(ledger.Plan, time.Time) appliance.Outcome {
		return appliance.Outcome{Listed: true, Cleared: true, Mark: "mark"}
	}
	for what, c := range map[string]struct {
		clock   time.Duration // of the process that recorded it, beside the flush's
		outcome func(p ledger.Plan, now time.Time) appliance.Outcome
	}{
		"unblocked":                          {0, oneByOne},
		"by the group":                       {0, byGroup},
		"by an earlier clock":                {-time.Second, oneByOne},
		"by an earlier clock, not unblocked": {-time.Second, listed},
	} {
		l := open(t)
		record(t, l, start, decided(address, start.Add(time.Minute)))
		flush(t, l, start, byGroup)
		now := start.Add(time.Minute)
		p := plan(t, l, now)
		want(t, what+": to unblock", texts(p.Unblock), []string{address})
		record(t, l, now.Add(c.clock), decided(address, now.Add(time.Hour)))
		want(t, what+": in force when the plan was made", len(inForce(t, l, p)), 0)
		recordOutcome(t, l, p, c.outcome(p, now))
		p = plan(t, l, now)
		want(t, what+": to block, to add", fmt.Sprint(blocks(p), p.Add), fmt.Sprint([]string{address}, []string{address}))
	}
}

// The ban is new, so it had no trace when it came back. It ends before the next flush.
func TestABanThatComesBackDuringItsFirstFlushIsUnblockedAtItsEnd(t *testing.T) {
	l := open(t)
	record(t, l, start, decided(address, start.Add(30*time.Second)))
	flush(t, l, start, func(p ledger.Plan, now time.Time) appliance.Outcome {
		record(t, l, start, decided(address, start.Add(time.Minute)))
		return byGroup(p, now)
	})
	want(t, "to block while it is in force", blocks(plan(t, l, start)), []string{address})
	p := plan(t, l, start.Add(2*time.Minute))
	want(t, "to unblock, to remove", fmt.Sprint(p.Unblock, p.Remove), fmt.Sprint([]string{address}, []string{address}))
}

// A failing write stands for a crash here, because nothing is written after it. A small outcome is recorded whole or not at all.
func TestACrashInRecordOutcomeLeavesNoWrongMark(t *testing.T) {
	for at, event := range map[string][2]string{
		"the rows":       {"UPDATE OF written ON ban", "NEW.written <> 0"},
		"the last facts": {"UPDATE ON flushing", "NEW.mark = 'next'"},
	} {
		for count, mark := range map[int]string{1: "mark", 1001: ""} {
			l := open(t)
			record(t, l, start, numbered(0, 1)...)
			flush(t, l, start, oneByOne)
			record(t, l, start, numbered(1, count)...)
			p := plan(t, l, start)
			failAt(t, l, event[0], event[1])
			if _, err := l.RecordOutcome(t.Context(), p, appliance.Outcome{Listed: true, Cleared: true, Mark: "next", At: start}, start); err == nil {
				t.Errorf("%s: no crash", at)
			}
			after := plan(t, l, start)
			want(t, fmt.Sprintf("marks before and after a crash in %s of %d bans", at, count), []string{p.Mark, after.Mark}, []string{"mark", mark})
			if count == 1 {
				want(t, "the bans that the files lack", after.Add, p.Add)
			}
		}
	}
}

// SQLite's query plans show that each query reads one end of an index, and none reads the table. A SCAN by an index ends at the LIMIT
// of the query if the index has its order.
func TestTheQueriesReadOnlyOneEndOfAnIndex(t *testing.T) {
	onlySQLite(t)
	l := open(t)
	ways := [][]string{
		{"SEARCH ban USING INDEX ban_look (look>?)"},               // bans that are not settled
		{"SEARCH ban USING INDEX ban_until (until>? AND until<?)"}, // bans that have ended
		{"SEARCH ban USING INDEX ban_until (until>? AND until<?)"}, // bans that have ended
		{"SEARCH ban USING COVERING INDEX ban_until (until>?)"},    // the ban that ends next: one row

		{"SEARCH ban USING INDEX ban_until (until>? AND until<?)", "SEARCH decision USING PRIMARY KEY (ban=?)"}, // bans that have ended
		{"SEARCH ban USING INDEX ban_look (look>? AND look<?)"},                                                 // bans since the last re-assert
		{"SEARCH ban USING COVERING INDEX ban_until (until>? AND until<?)"},                                     // the same bans, by the index alone
		{"SEARCH ban USING INTEGER PRIMARY KEY (rowid=?)", "SCAN ban USING INDEX ban_enforced"},                 // the last enforced ban
		{"SEARCH ban USING INTEGER PRIMARY KEY (rowid=?)", "SCAN ban USING INDEX ban_waiting"},                  // the first waiting ban
		{"SEARCH ban USING INDEX ban_next (next>? AND next<?)"},                                                 // decisions that have ended
		{"SEARCH ban USING COVERING INDEX ban_next (next>?)"},                                                   // the decision that ends next
		{"SCAN ban USING INDEX ban_waiting"},                                                                    // the first waiting ban
		{"SCAN ban USING INDEX ban_enforced"},                                                                   // the last enforced ban
	}
	want(t, "queries", len(ledger.Queries), len(ways))
	for i, query := range ledger.Queries {
		way := slices.DeleteFunc(queryPlan(t, l, query), func(line string) bool {
			return strings.HasPrefix(line, "LIST SUBQUERY") || strings.HasPrefix(line, "CORRELATED") ||
				strings.HasPrefix(line, "SCALAR SUBQUERY") || line == "SCAN flushing" // one row
		})
		want(t, query, strings.Join(way, "\n"), strings.Join(ways[i], "\n"))
	}
}

// Otherwise SQLite would take time for each pair of their elements.
func TestAWriteWithTwoListsReadsEachOfThemOnce(t *testing.T) {
	onlySQLite(t)
	l := open(t)
	for write, way := range map[string]string{
		ledger.DeleteRemoved: "SEARCH decision USING PRIMARY KEY (ban=?)", // not also by the second list
		ledger.UpdateMissed:  "SEARCH decision USING PRIMARY KEY (ban=?)",
		ledger.UpdateBlocked: "SEARCH ends USING AUTOMATIC COVERING INDEX (key=?)",
	} {
		if plan := queryPlan(t, l, write); !slices.Contains(plan, way) {
			t.Errorf("%s\nSQLite does not %s, but\n%s", write, way, strings.Join(plan, "\n"))
		}
	}
}

func TestTheQueriesOfAStatusReadNoWholeTable(t *testing.T) {
	onlySQLite(t)
	l := open(t)
	for _, query := range ledger.StatusQueries {
		for _, line := range queryPlan(t, l, query) {
			if strings.HasPrefix(line, "SCAN ban") || strings.HasPrefix(line, "SCAN decision") {
				t.Errorf("%s: %s", line, query)
			}
		}
	}
}

// queryPlan returns how SQLite would run a query.
func queryPlan(t *testing.T, l *ledger.Ledger, query string) []string {
	t.Helper()
	return lines(t, l, "EXPLAIN QUERY PLAN "+regexp.MustCompile(`\?\d?`).ReplaceAllString(query, "0"), new(int), new(int), new(int))
}
