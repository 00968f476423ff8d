package ledger_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

func TestABanIsOwedUntilItIsWrittenAndItsRemovalUntilItIsAcknowledged(t *testing.T) {
	l := open(t)
	r := record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)))
	want(t, "added", r.Added, 1)

	p := plan(t, l, start)
	want(t, "to block", blocks(p), []string{"203.0.113.7/32"})
	want(t, "next", p.Next, start.Add(time.Hour))
	wrote(t, l, p, all(p, start))
	want(t, "due after the flush", plan(t, l, start).Due(), false)

	later := start.Add(time.Hour)
	p = plan(t, l, later)
	want(t, "to unblock", texts(p.Unblock), []string{"203.0.113.7/32"})
	want(t, "in force", p.InForce, 0)

	wrote(t, l, p, appliance.Outcome{Unblocked: p.Unblock, At: later}) // the files could not be written
	p = plan(t, l, later)
	want(t, "to unblock once unblocked", len(p.Unblock), 0)
	want(t, "to remove from the files", texts(p.Remove), []string{"203.0.113.7/32"})

	wrote(t, l, p, appliance.Outcome{Listed: true, Cleared: true, At: later})
	want(t, "due at the end", plan(t, l, later).Due(), false)
}

func TestAnAssertedBanNeedsNoEntryOfItsOwn(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)), decided("203.0.113.8/32", start.Add(48*time.Hour)))
	p := plan(t, l, start)
	wrote(t, l, p, appliance.Outcome{Listed: true, Cleared: true, Asserted: start, AssertedUntil: start.Add(24 * time.Hour), At: start})
	want(t, "due", plan(t, l, start).Due(), false)

	record(t, l, start, decided("203.0.113.9/32", start.Add(time.Hour)))
	want(t, "to block: only what came later", blocks(plan(t, l, start)), []string{"203.0.113.9/32"})

	p = plan(t, l, start.Add(2*time.Hour))
	want(t, "to unblock: never written is not owed", texts(p.Unblock), []string{"203.0.113.7/32"})
	want(t, "in force", p.InForce, 1)
	want(t, "asserted until", p.AssertedUntil, start.Add(24*time.Hour))
}

func TestAShortEntryIsRenewedOnlyWhenItsBanOutlastsIt(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("203.0.113.7/32", start.Add(30*24*time.Hour)))
	p := plan(t, l, start)
	wrote(t, l, p, appliance.Outcome{Blocked: []appliance.Entry{{Prefix: p.Block[0].Prefix, Expires: start.Add(24 * time.Hour)}}, Listed: true, Cleared: true, At: start})
	want(t, "due at once", plan(t, l, start).Due(), false)
	want(t, "to block when half the time is over", len(plan(t, l, start.Add(13*time.Hour)).Block), 1)
}

func TestAPlanSaysWhetherItBlocksAllThatIsInForce(t *testing.T) {
	l := open(t)
	want(t, "nothing in force", plan(t, l, start).Whole, true)
	record(t, l, start, numbered(0, 3)...)
	p := plan(t, l, start)
	want(t, "all new", p.Whole, true)
	wrote(t, l, p, all(p, start))
	want(t, "nothing new", plan(t, l, start).Whole, false)
	record(t, l, start, numbered(3, 1)...)
	want(t, "some new", plan(t, l, start).Whole, false)

	record(t, l, start, numbered(10, 40)...)
	p, err := open(t).Plan(t.Context(), ledger.Question{Now: start, Renew: start, Few: 0})
	want(t, "nothing in force and none one by one", p.Whole && err == nil, true)
	p = plan(t, l, start.Add(time.Hour))
	want(t, "everything ended", p.InForce, 0)
}

func TestMoreThanAFewAreNotAllNamedAndNeverTheWhole(t *testing.T) {
	l := open(t)
	record(t, l, start, numbered(0, 50)...)
	p := plan(t, l, start)
	want(t, "to block", p.Blocks, 50)
	want(t, "named", len(p.Block), 33)
	want(t, "to add", len(p.Add), 50)
	want(t, "whole", p.Whole, false)
}

// The queries are known by how SQLite goes about them: each through one end of
// an index, and none through the table.
func TestAPlanReadsNothingButWhatDiffers(t *testing.T) {
	l := open(t)
	ways := []string{
		"SEARCH ban USING INDEX ban_written (written<?)",         // what is not in the files
		"SEARCH ban USING INDEX ban_written (written>?)",         // what came after the last re-assert
		"SEARCH ban USING INDEX ban_traces (until<?)",            // what the appliance may have and shall not
		"SEARCH ban USING INDEX ban_until (until>? AND until<?)", // what is over
		"SEARCH ban USING COVERING INDEX ban_until (until>?)",    // what ends next: one row
	}
	want(t, "queries", len(ledger.PlanQueries), len(ways))
	for i, query := range ledger.PlanQueries {
		way, err := l.Lines(t.Context(), "EXPLAIN QUERY PLAN "+strings.ReplaceAll(query, "?", "0"))
		want(t, "error", err, nil)
		want(t, query, way, []string{ways[i]})
	}
}

// A SCAN by an index of the order that the query wants ends at its LIMIT.
func TestANewBanAmongManyThatWaitReadsNothingButWhatChanges(t *testing.T) {
	l := open(t)
	replaced := strings.NewReplacer("?1", "0", "?2", "0", "?3", "0", "?4", "0", "?", "0")
	for i, ways := range [][]string{
		{"SEARCH ban USING INDEX ban_until (until>? AND until<?)", "SEARCH decision USING PRIMARY KEY (ban=?)"}, // what is over
		{"SEARCH ban USING COVERING INDEX ban_until (until>? AND until<?)"},                                     // as well
		{"SEARCH ban USING INTEGER PRIMARY KEY (rowid=?)", "SCAN ban USING INDEX ban_enforced"},                 // the last of those enforced
		{"SEARCH ban USING INTEGER PRIMARY KEY (rowid=?)", "SCAN ban USING INDEX ban_waiting"},                  // the first of those that wait
		{"SEARCH ban USING INDEX ban_next (next>? AND next<?)"},                                                 // decisions that are over
		{"SEARCH ban USING COVERING INDEX ban_next (next>?)"},                                                   // which decision is over next
		{"SCAN ban USING INDEX ban_waiting"},                                                                    // the first of those that wait
		{"SCAN ban USING INDEX ban_enforced"},                                                                   // the last of those enforced
	} {
		query := ledger.ChoiceQueries[i]
		way, err := l.Lines(t.Context(), "EXPLAIN QUERY PLAN "+replaced.Replace(query))
		want(t, "error", err, nil)
		way = slices.DeleteFunc(way, func(line string) bool {
			return strings.HasPrefix(line, "LIST SUBQUERY") || strings.HasPrefix(line, "CORRELATED")
		})
		want(t, query, strings.Join(way, "\n"), strings.Join(ways, "\n"))
	}
}

// numbered are bans for an hour.
func numbered(first, count int) []ban.Decision {
	bans := make([]ban.Decision, count)
	for i := range bans {
		n := first + i
		address := netip.AddrFrom4([4]byte{203, byte(n >> 16), byte(n >> 8), byte(n)})
		bans[i] = ban.Decision{Prefix: netip.PrefixFrom(address, 32), Bits: 32, Until: start.Add(time.Hour), Origin: "crowdsec", Scenario: "crowdsecurity/ssh-bf"}
	}
	return bans
}

func BenchmarkPlan(b *testing.B) {
	for _, inForce := range []int{1_000, 300_000} {
		b.Run(fmt.Sprint(inForce), func(b *testing.B) {
			l := open(b)
			ended := numbered(inForce, 5)
			for i := range ended {
				ended[i].Until = start.Add(time.Minute)
			}
			record(b, l, start, append(numbered(0, inForce), ended...)...)
			p := plan(b, l, start)
			wrote(b, l, p, asserted(p, start))
			record(b, l, start, numbered(inForce+5, 5)...)
			for b.Loop() {
				p = plan(b, l, start.Add(time.Minute))
			}
			if len(p.Add) != 5 || len(p.Remove) != 5 || p.InForce != inForce+5 {
				b.Errorf("add %d, remove %d, in force %d", len(p.Add), len(p.Remove), p.InForce)
			}
		})
	}
}

// BenchmarkANewBanAmongManyThatWait is what one new ban costs before the flush: it makes one of a list wait.
func BenchmarkANewBanAmongManyThatWait(b *testing.B) {
	const limit = 100_000
	for _, listed := range []int{100_000, 300_000} {
		b.Run(fmt.Sprint(listed), func(b *testing.B) {
			l := open(b)
			lists := numbered(0, listed)
			for i := range lists {
				lists[i].Origin = "lists:tor"
			}
			if _, err := l.List(b.Context(), nil, lists, start, limit); err != nil {
				b.Fatal(err)
			}
			p := plan(b, l, start)
			wrote(b, l, p, asserted(p, start))
			n := listed
			for b.Loop() {
				if _, err := l.Record(b.Context(), numbered(n, 1), start, limit); err != nil {
					b.Fatal(err)
				}
				if err := l.Choose(b.Context(), start, limit); err != nil {
					b.Fatal(err)
				}
				p = plan(b, l, start)
				wrote(b, l, p, all(p, start))
				n++
			}
			if p.InForce != limit || p.Waiting != n-limit || len(p.Block) != 1 || len(p.Unblock) != 1 {
				b.Errorf("in force %d, waiting %d, to block %d, to unblock %d", p.InForce, p.Waiting, len(p.Block), len(p.Unblock))
			}
		})
	}
}
