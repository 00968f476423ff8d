package ledger_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

func TestTheLatestEndingDecisionCounts(t *testing.T) {
	l := open(t)
	long := aBan("203.0.113.7/32", start.Add(2*time.Hour))
	record(t, l, start, long)
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))

	r := record(t, l, start, aBan("203.0.113.7/32", start.Add(time.Hour)), long)
	want(t, "known", r.Known, 2)
	want(t, "due after a shorter and the same", plan(t, l, start).Due(), false)
	want(t, "next", plan(t, l, start).Next, start.Add(2*time.Hour))

	r = record(t, l, start, aBan("203.0.113.7/32", start.Add(3*time.Hour)))
	want(t, "extended", r.Extended, 1)
	p = plan(t, l, start)
	want(t, "to block again", blocks(p), []string{"203.0.113.7/32"})
	want(t, "until", p.Block[0].Until, start.Add(3*time.Hour))
}

func TestWhenFullTheSoonestToEndGoListsFirst(t *testing.T) {
	l := open(t)
	list := aBan("198.51.100.1/32", start.Add(100*time.Hour))
	list.Origin = "lists:firehol"
	record(t, l, start, list, aBan("203.0.113.1/32", start.Add(time.Hour)), aBan("203.0.113.2/32", start.Add(2*time.Hour)))
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))

	r, err := l.Record(t.Context(), []ban.Ban{aBan("203.0.113.3/32", start.Add(3*time.Hour))}, ledger.Alert, start, 2)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "evicted", r.Evicted, 2)
	p = plan(t, l, start)
	want(t, "to unblock", texts(p.Unblock), []string{"198.51.100.1/32", "203.0.113.1/32"})
	want(t, "standing", standing(t, l, p), []string{"203.0.113.2/32", "203.0.113.3/32"})
}

func TestRefusedBansEnd(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.1/32", start.Add(time.Hour)), aBan("203.0.113.2/32", start.Add(time.Hour)))
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))
	ended, err := l.Refuse(t.Context(), ban.Filter{NeverBlock: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/32")}}.Admit, start)
	if err != nil {
		t.Fatal(err)
	}
	if len(ended) != 1 || ended[0].Prefix.String() != "203.0.113.1/32" || ended[0].Reason == nil {
		t.Errorf("ended: %+v", ended)
	}
	want(t, "to unblock", texts(plan(t, l, start).Unblock), []string{"203.0.113.1/32"})
}

func TestTheRestOfARangeStaysBannedWhenAPartOfItIsRefused(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("203.0.113.0/30", start.Add(time.Hour)), aBan("203.0.113.3/32", start.Add(2*time.Hour)), aBan("203.0.113.2/32", start.Add(time.Minute)))
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))
	if _, err := l.Refuse(t.Context(), ban.Filter{NeverBlock: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/32")}}.Admit, start); err != nil {
		t.Fatal(err)
	}
	p = plan(t, l, start)
	want(t, "to unblock", texts(p.Unblock), []string{"203.0.113.0/30"})
	want(t, "standing", standing(t, l, p), []string{"203.0.113.0/32", "203.0.113.2/31", "203.0.113.2/32", "203.0.113.3/32"})
	for prefix, until := range map[string]time.Duration{"203.0.113.0/32": time.Hour, "203.0.113.2/31": time.Hour, "203.0.113.3/32": 2 * time.Hour} {
		if err := l.EachBan(t.Context(), start, func(b ledger.Ban) error {
			if b.Prefix.String() == prefix && !b.Until.Equal(start.Add(until)) {
				t.Errorf("%s ends at %s", prefix, b.Until)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	wrote(t, l, p, all(p, start))
	if p = plan(t, l, start); p.Due() {
		t.Errorf("something is still pending: %+v", p)
	}
}

func TestABanThatCountsSeveralTimesInOneAlertCountsOnce(t *testing.T) {
	l := open(t)
	short, long := aBan(again, start.Add(time.Hour)), aBan(again, start.Add(2*time.Hour))
	r := record(t, l, start, short, long, short)
	want(t, "added", r.Added, 1)
	p := plan(t, l, start)
	want(t, "in force", p.InForce, 1)
	want(t, "until", p.Next, start.Add(2*time.Hour))
}

func TestOfManyBansAtOnceEachFindsItsPlace(t *testing.T) {
	l := open(t)
	record(t, l, start, numbered(100, 300)...)
	longer := numbered(0, 1000)
	for i := range longer {
		longer[i].Until = start.Add(time.Hour + time.Duration(i%2)*time.Hour) // every other is longer
	}
	r := record(t, l, start, longer...)
	want(t, "recorded", r, ledger.Recorded{Added: 700, Extended: 150, Known: 150, Change: 2})
	p := plan(t, l, start)
	want(t, "in force", p.InForce, 1000)
	want(t, "standing", len(standing(t, l, p)), 1000)
	want(t, "in force an hour later", plan(t, l, start.Add(time.Hour)).InForce, 500)
}

func TestOfTooManyBansAtOnceTheLimitStays(t *testing.T) {
	l := open(t)
	record(t, l, start, aBan("198.51.100.1/32", start.Add(minute)))
	later := start.Add(2 * minute) // that one has ended, and is not gone
	bans := numbered(0, 500)
	for i := range bans {
		bans[i].Until = later.Add(time.Duration(i+1) * time.Minute)
		if i >= 400 {
			bans[i].Origin = "CAPI"
		}
	}
	r, err := l.Record(t.Context(), bans, ledger.Alert, later, 300)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "evicted", r.Evicted, 200)
	p := plan(t, l, later)
	want(t, "in force", p.InForce, 300)
	want(t, "the next to end", p.Next, bans[100].Until)
	left := standing(t, l, p)
	want(t, "left", len(left), 300)
	want(t, "a list's is left", slices.Contains(left, bans[450].Prefix.String()), false)
}

func BenchmarkRecord(b *testing.B) {
	for _, count := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			bans := numbered(0, count)
			rand.Shuffle(count, func(i, j int) { bans[i], bans[j] = bans[j], bans[i] })
			for b.Loop() {
				b.StopTimer()
				l := open(b)
				b.StartTimer()
				record(b, l, start, bans...)
			}
		})
	}
}

func BenchmarkRecordAmongMany(b *testing.B) {
	l := open(b)
	record(b, l, start, numbered(0, 300_000)...)
	n := 300_000
	for b.Loop() {
		record(b, l, start, numbered(n, 1)...)
		n++
	}
}

// While another process holds the ledger, calls gather; each of them is then
// recorded as a change of its own.
func TestCallsThatComeTogetherAreRecordedTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	l := openAt(t, path)
	other := hold(t, path)
	const calls = 50
	type outcome struct {
		ledger.Recorded
		err error
	}
	outcomes := make(chan outcome)
	for i := range calls {
		go func() {
			b := aBan(fmt.Sprintf("203.0.113.%d/32", i), start.Add(time.Hour))
			r, err := l.Record(context.Background(), []ban.Ban{b}, ledger.Alert, start, many)
			outcomes <- outcome{r, err}
		}()
	}
	for l.Queued() < calls-1 { // the first of them waits for the other process
		time.Sleep(time.Millisecond)
	}
	want(t, "recorded while the ledger is held", plan(t, l, start).InForce, 0)
	other()
	changes := map[int64]bool{}
	for range calls {
		o := <-outcomes
		want(t, "error", o.err, nil)
		want(t, "added", o.Added, 1)
		changes[o.Change] = true
	}
	want(t, "changes", len(changes), calls)
	want(t, "in force", plan(t, l, start).InForce, calls)
	want(t, "left in the queue", l.Queued(), 0)
}

func TestACallThatWasTakenAlongAndLostIsNoSuccess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	l := openAt(t, path)
	other := hold(t, path)
	failed := make(chan error)
	call := func(address string) {
		_, err := l.Record(context.Background(), []ban.Ban{aBan(address, start.Add(time.Hour))}, ledger.Alert, start, many)
		failed <- err
	}
	go call("203.0.113.1/32")
	for !l.Busy() || l.Queued() > 0 { // it waits for the other process
		time.Sleep(time.Millisecond)
	}
	go call("203.0.113.2/32")
	for l.Queued() == 0 {
		time.Sleep(time.Millisecond)
	}
	l.DropQueue()
	other()
	if first, second := <-failed, <-failed; (first == nil) == (second == nil) {
		t.Errorf("of the two, one must fail: %v, %v", first, second)
	}
	want(t, "in force", plan(t, l, start).InForce, 1)
}

// hold takes SQLite's lock for writing as another process does, until the
// function it returns is called.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = tx.Rollback()
		_ = db.Close()
	}
}
