package ledger_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

// claims are what the two sources say of one prefix: the package's table, again,
// in other words.
type claims struct {
	alert, list time.Duration // how long from start; 0: it says nothing
	number      int64         // of the decision that lists it
	heard       int           // the event with which an alert last spoke of it
}

func (c claims) until() time.Duration { return max(c.alert, c.list) }

// event is something that either source says.
type event struct {
	name string
	// do tells the ledger, with a reading that began before the first event if
	// old, and otherwise with one that begins now.
	do func(t *testing.T, l *ledger.Ledger, p netip.Prefix, r ledger.Reading)
	// means is what it does to the claims; knows says up to which event the
	// reading knows alerts.
	means func(c claims, at, knows int) claims
	full  bool
}

func alerted(d time.Duration) event {
	return event{
		name: fmt.Sprintf("an alert for %s", d),
		do: func(t *testing.T, l *ledger.Ledger, p netip.Prefix, _ ledger.Reading) {
			record(t, l, start, aBan(p.String(), start.Add(d)))
		},
		means: func(c claims, at, _ int) claims {
			c.alert, c.heard = max(c.alert, d), at
			return c
		},
	}
}

func listed(d time.Duration, number int64) event {
	return event{
		name: fmt.Sprintf("listed for %s by %d", d, number),
		do: func(t *testing.T, l *ledger.Ledger, p netip.Prefix, r ledger.Reading) {
			mustList(t, l, r, start, 1000, ledger.Listed{Ban: aBan(p.String(), start.Add(d)), Number: number})
		},
		means: func(c claims, _, knows int) claims {
			if c.heard <= knows {
				c.alert = 0
			}
			c.list, c.number = d, number
			return c
		},
	}
}

func unlisted(number int64) event {
	return event{
		name: fmt.Sprintf("not listed any more by %d", number),
		do: func(t *testing.T, l *ledger.Ledger, p netip.Prefix, r ledger.Reading) {
			if _, err := l.Unlist(t.Context(), r, []ledger.Unlisted{{Prefix: p, Number: number, Since: start}}, start); err != nil {
				t.Fatal(err)
			}
		},
		means: func(c claims, _, knows int) claims {
			if c.list > 0 && c.number != number {
				return c
			}
			return c.gone(knows)
		},
	}
}

// missing is a full read that does not find it, and finds numbers up to last.
func missing(last int64) event {
	return event{
		name: fmt.Sprintf("missing among those up to %d", last), full: true,
		do: func(t *testing.T, l *ledger.Ledger, _ netip.Prefix, r ledger.Reading) {
			if _, err := l.EndRead(t.Context(), r, last, start); err != nil {
				t.Fatal(err)
			}
		},
		means: func(c claims, _, knows int) claims {
			if c.list == 0 || c.number >= last {
				return c
			}
			return c.gone(knows)
		},
	}
}

func removed() event {
	return event{
		name: "removed by hand",
		do: func(t *testing.T, l *ledger.Ledger, p netip.Prefix, _ ledger.Reading) {
			if _, err := l.End(t.Context(), []netip.Prefix{p}, start); err != nil {
				t.Fatal(err)
			}
		},
		means: func(claims, int, int) claims { return claims{} },
	}
}

// gone is what is left when the list says that it is over.
func (c claims) gone(knows int) claims {
	if c.heard <= knows {
		c.alert = 0
	}
	c.list, c.number = 0, 0
	return c
}

// TestOneTruthFromTwoSources tries each order of up to three events, each with a
// reading that knows all of what came before, and one that knows nothing of it.
func TestOneTruthFromTwoSources(t *testing.T) {
	events := []event{
		alerted(time.Hour), alerted(3 * time.Hour), listed(2*time.Hour, 5), listed(4*time.Hour, 6),
		unlisted(5), unlisted(6), missing(100), missing(5), removed(),
	}
	l := open(t)
	tried := 0
	var try func(chosen []int, old []bool)
	try = func(chosen []int, old []bool) {
		if len(chosen) > 0 {
			tried++
			tryEvents(t, l, tried, events, chosen, old)
		}
		if len(chosen) == 3 || t.Failed() {
			return
		}
		for i := range events {
			for _, o := range []bool{false, true} {
				if o && (len(chosen) == 0 || strings.HasPrefix(events[i].name, "an alert") || i == len(events)-1) {
					continue // there is no reading, or nothing that it could not know
				}
				try(append(slices.Clone(chosen), i), append(slices.Clone(old), o))
			}
		}
	}
	try(nil, nil)
	if tried < 1000 && !t.Failed() {
		t.Errorf("only %d orders were tried", tried)
	}
}

func tryEvents(t *testing.T, l *ledger.Ledger, n int, events []event, chosen []int, old []bool) {
	t.Helper()
	p := netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)}), 32)
	readings := map[bool]ledger.Reading{false: begin(t, l, false), true: begin(t, l, true)} // by whether they are full
	var c claims
	var names []string
	for at, i := range chosen {
		e, r, knows := events[i], readings[events[i].full], -1
		if !old[at] {
			r, knows = begin(t, l, e.full), at
		}
		e.do(t, l, p, r)
		c = e.means(c, at, knows)
		names = append(names, fmt.Sprintf("%s (old: %t)", e.name, old[at]))
	}
	until, err := l.Lines(t.Context(), "SELECT until FROM ban WHERE prefix = '"+p.String()+"'")
	if err != nil {
		t.Fatal(err)
	}
	var got time.Duration
	if len(until) > 0 {
		ms, _ := strconv.ParseInt(until[0], 10, 64)
		got = time.UnixMilli(ms).Sub(start)
	}
	if got != c.until() {
		t.Errorf("%s: stands for %s, want %s", strings.Join(names, ", then "), got, c.until())
	}
}

func begin(t *testing.T, l *ledger.Ledger, full bool) ledger.Reading {
	t.Helper()
	r, err := l.BeginRead(t.Context(), full, start.Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustList(t *testing.T, l *ledger.Ledger, r ledger.Reading, now time.Time, limit int, listed ...ledger.Listed) ledger.Recorded {
	t.Helper()
	recorded, err := l.List(t.Context(), r, listed, now, limit)
	if err != nil {
		t.Fatal(err)
	}
	return recorded
}

func community(prefix string, until time.Time, number int64) ledger.Listed {
	return ledger.Listed{Ban: ban.Ban{Prefix: netip.MustParsePrefix(prefix), Until: until, Origin: "CAPI", Scenario: "http:scan"}, Number: number}
}

func TestAListedBanIsOwedOnceAndEndsOnTheAppliance(t *testing.T) {
	l := open(t)
	r := begin(t, l, true)
	recorded := mustList(t, l, r, start, 1000, community("203.0.113.7/32", start.Add(time.Hour), 7), community("198.51.100.0/24", start.Add(time.Hour), 8))
	want(t, "added", recorded.Added, 2)
	want(t, "left out", recorded.Left, 0)
	p := plan(t, l, start)
	want(t, "to block", blocks(p), []string{"198.51.100.0/24", "203.0.113.7/32"})
	wrote(t, l, p, all(p, start))

	// The same list again: nothing is owed.
	recorded = mustList(t, l, begin(t, l, true), start.Add(time.Minute), 1000, community("203.0.113.7/32", start.Add(time.Hour+time.Second), 7),
		community("198.51.100.0/24", start.Add(time.Hour-time.Second), 8))
	want(t, "known", recorded.Known, 2)
	want(t, "due", plan(t, l, start.Add(time.Minute)).Due(), false)

	ended, err := l.Unlist(t.Context(), begin(t, l, false), []ledger.Unlisted{
		{Prefix: netip.MustParsePrefix("203.0.113.7/32"), Number: 7, Since: start},
		{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Number: 9, Since: start},
		{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Number: 1, Since: start},
	}, start.Add(2*time.Minute))
	if err != nil || ended.Bans != 1 || len(ended.Doubtful) != 1 {
		t.Errorf("%+v, %v", ended, err)
	}
	want(t, "to unblock", texts(plan(t, l, start.Add(2*time.Minute)).Unblock), []string{"203.0.113.7/32"})

	// It is listed anew before it is off: it must be blocked anew.
	mustList(t, l, begin(t, l, false), start.Add(3*time.Minute), 1000, community("203.0.113.7/32", start.Add(2*time.Hour), 11))
	want(t, "to block again", blocks(plan(t, l, start.Add(3*time.Minute))), []string{"203.0.113.7/32"})
}

// Of several decisions on an address that ended in the same moment, CrowdSec 1.4.6
// names any.
func TestWhatAFullReadingDoesNotFindIsOverByWhicheverDecision(t *testing.T) {
	l := open(t)
	mustList(t, l, begin(t, l, true), start, 1000, community("203.0.113.7/32", start.Add(time.Hour), 7), community("203.0.113.8/32", start.Add(time.Hour), 8))
	gone := []ledger.Unlisted{{Prefix: netip.MustParsePrefix("203.0.113.7/32"), Number: 3, Since: start}, {Prefix: netip.MustParsePrefix("203.0.113.8/32"), Number: 4, Since: start}}
	r := begin(t, l, true)
	mustList(t, l, r, start, 1000, community("203.0.113.8/32", start.Add(time.Hour), 8))
	ended, err := l.Unlist(t.Context(), r, gone, start)
	if err != nil || ended.Bans != 1 || len(ended.Doubtful) != 1 {
		t.Errorf("%+v, %v", ended, err)
	}
	want(t, "standing", standing(t, l, plan(t, l, start)), []string{"203.0.113.8/32"})
}

func TestLongerTellsWhatIsNotBannedAsLong(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.1/32", start.Add(time.Hour)))
	mustList(t, l, begin(t, l, true), start, 1000, community("203.0.113.2/32", start.Add(time.Hour), 2), community("203.0.113.3/32", start.Add(time.Minute), 3))
	later := start.Add(2 * time.Minute)
	longer, err := l.Longer(t.Context(), []ledger.Listed{
		community("203.0.113.1/32", start.Add(time.Hour+time.Second), 11), // rounded
		community("203.0.113.2/32", start.Add(2*time.Hour), 12),
		community("203.0.113.2/32", start.Add(3*time.Hour), 13),
		community("203.0.113.2/32", start.Add(time.Minute*30), 14),
		community("203.0.113.3/32", start.Add(time.Hour), 15), // it was over
		community("203.0.113.4/32", start.Add(time.Hour), 16),
	}, later)
	var numbers []int64
	for _, b := range longer {
		numbers = append(numbers, b.Number)
	}
	slices.Sort(numbers)
	if want := []int64{13, 15, 16}; err != nil || !slices.Equal(numbers, want) {
		t.Errorf("%v, %v, want %v", numbers, err, want)
	}
	if longer, err := l.Longer(t.Context(), nil, later); err != nil || len(longer) > 0 {
		t.Errorf("of none: %v, %v", longer, err)
	}
}

func TestAListThatIsTooLongKeepsWhatEndsLastAndDetections(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.1/32", start.Add(time.Minute*10)))
	entries := func(now time.Time) []ledger.Listed {
		var all []ledger.Listed
		for i := range 10 {
			all = append(all, community(fmt.Sprintf("198.51.100.%d/32", i), now.Add(time.Duration(i+1)*time.Hour), int64(i+1)))
		}
		return all
	}
	mustList(t, l, begin(t, l, true), start, 4, entries(start)...)
	kept := []string{"198.51.100.7/32", "198.51.100.8/32", "198.51.100.9/32", "203.0.113.1/32"}
	p := plan(t, l, start)
	want(t, "kept", standing(t, l, p), kept)
	wrote(t, l, p, all(p, start))

	// Read again, nothing moves.
	r := begin(t, l, true)
	recorded := mustList(t, l, r, start, 4, entries(start)...)
	want(t, "left out", recorded.Left, 7)
	want(t, "evicted", recorded.Evicted, 0)
	want(t, "due", plan(t, l, start).Due(), false)
	endRead(t, l, r, 10)
	wantLeftOut(t, l, start, 4, 7, 0)

	// A detection goes before any of them.
	recorded, err := l.Record(t.Context(), []ban.Ban{aBan("203.0.113.2/32", start.Add(time.Minute*5))}, ledger.Alert, start, 4)
	if err != nil || recorded.Evicted != 1 {
		t.Errorf("%+v, %v", recorded, err)
	}
	want(t, "kept then", standing(t, l, plan(t, l, start)), []string{"198.51.100.8/32", "198.51.100.9/32", "203.0.113.1/32", "203.0.113.2/32"})
	wantLeftOut(t, l, start, 4, 8, 0)

	// As detections end there is room again, and the next full reading takes in what fits.
	later := start.Add(7 * time.Minute)
	wantLeftOut(t, l, later, 4, 8, 1)
	r = begin(t, l, true)
	mustList(t, l, r, later, 4, entries(start)...)
	wantLeftOut(t, l, later, 4, 15, 0) // it is not over
	endRead(t, l, r, 10)
	wantLeftOut(t, l, later, 4, 7, 0)
	if s, err := l.Status(t.Context(), later); err != nil || s.LeftOut != 7 {
		t.Errorf("%+v, %v", s, err)
	}
}

func endRead(t *testing.T, l *ledger.Ledger, r ledger.Reading, last int64) {
	t.Helper()
	if _, err := l.EndRead(t.Context(), r, last, start); err != nil {
		t.Fatal(err)
	}
}

func wantLeftOut(t *testing.T, l *ledger.Ledger, now time.Time, limit, wantLeft, wantRoom int) {
	t.Helper()
	left, room, err := l.LeftOut(t.Context(), now, limit)
	if err != nil || left != wantLeft || room != wantRoom {
		t.Errorf("%d left out and room for %d, want %d and %d (%v)", left, room, wantLeft, wantRoom, err)
	}
}

// CrowdSec hands an alert out before it stores it, so a reading that begins after
// the alert may know an older decision of the same address alone.
func TestAnAlertThatTheLocalAPIHasNotStoredYetIsNotEndedByItsList(t *testing.T) {
	const value = "203.0.113.7/32"
	for name, end := range map[string]func(t *testing.T, l *ledger.Ledger, now time.Time){
		"an older decision is over since before it": func(t *testing.T, l *ledger.Ledger, now time.Time) {
			if _, err := l.Unlist(t.Context(), begin(t, l, true), []ledger.Unlisted{{Prefix: netip.MustParsePrefix(value), Number: 5, Since: now.Add(-10 * time.Second)}}, now); err != nil {
				t.Fatal(err)
			}
		},
		"an older decision is not found": func(t *testing.T, l *ledger.Ledger, now time.Time) {
			r, err := l.BeginRead(t.Context(), true, now)
			if err == nil {
				_, err = l.EndRead(t.Context(), r, 100, now)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		l := open(t)
		mustList(t, l, begin(t, l, true), start, 1000, community(value, start.Add(time.Hour), 5))
		heard := start.Add(time.Minute)
		record(t, l, heard, aBan(value, heard.Add(4*time.Hour)))
		end(t, l, heard.Add(time.Second))
		if standing := standing(t, l, plan(t, l, heard.Add(2*time.Hour))); len(standing) != 1 {
			t.Errorf("%s: the ban of the alert has ended", name)
		}
	}
}

func TestAFailedReadEndsNothing(t *testing.T) {
	l := open(t)
	mustList(t, l, begin(t, l, true), start, 1000, community("203.0.113.7/32", start.Add(time.Hour), 7))
	begin(t, l, true) // and then the Local API falls silent
	if err := l.ReadFailed(t.Context(), "refused", start); err != nil {
		t.Fatal(err)
	}
	want(t, "standing", standing(t, l, plan(t, l, start)), []string{"203.0.113.7/32"})
}
