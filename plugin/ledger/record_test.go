package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

func TestTheLatestEndingDecisionCounts(t *testing.T) {
	l := open(t)
	long := decided("203.0.113.7/32", start.Add(2*time.Hour))
	record(t, l, start, long)
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))

	r := record(t, l, start, decided("203.0.113.7/32", start.Add(time.Hour)), long)
	want(t, "unknown", r.Unknown, 1)
	want(t, "due after a shorter and the same", plan(t, l, start).Due(), false)
	want(t, "next", plan(t, l, start).Next, start.Add(2*time.Hour))

	r = record(t, l, start, decided("203.0.113.7/32", start.Add(3*time.Hour)))
	want(t, "extended", r.Extended, 1)
	p = plan(t, l, start)
	want(t, "to block again", blocks(p), []string{"203.0.113.7/32"})
	want(t, "until", p.Block[0].Until, start.Add(3*time.Hour))
}

func TestALocalDetectionIsEnforcedBeforeAnImportAndAList(t *testing.T) {
	l := open(t)
	ofOrigin := func(prefix, origin string, until time.Duration) ban.Decision {
		d := decided(prefix, start.Add(until))
		d.Origin = origin
		return d
	}
	recordAtMost := func(limit int, decisions ...ban.Decision) {
		t.Helper()
		if _, err := l.Record(t.Context(), decisions, start, limit); err != nil {
			t.Fatal(err)
		}
	}
	recordAtMost(2, ofOrigin("198.51.100.1/32", "lists:firehol", 100*time.Hour), ofOrigin("198.51.100.2/32", "cscli-import", 50*time.Hour))
	p := plan(t, l, start)
	wrote(t, l, p, all(p, start))

	recordAtMost(2, ofOrigin("203.0.113.3/32", "crowdsec", time.Hour))
	p = plan(t, l, start)
	want(t, "to unblock", texts(p.Unblock), []string{"198.51.100.1/32"})
	want(t, "standing", standing(t, l, p), []string{"198.51.100.2/32", "203.0.113.3/32"})
	want(t, "waiting", p.Waiting, 1)
	s, err := l.Status(t.Context(), start)
	want(t, "error", err, nil)
	want(t, "waiting, by class", s.Waiting[ban.Remote], 1)
	wrote(t, l, p, all(p, start))

	later := start.Add(time.Hour)
	want(t, "error", l.Choose(t.Context(), later, 2), nil)
	p = plan(t, l, later)
	want(t, "to block when there is room again", blocks(p), []string{"198.51.100.1/32"})
	want(t, "standing", standing(t, l, p), []string{"198.51.100.1/32", "198.51.100.2/32"})
}

func TestABanThatCountsSeveralTimesInOneAlertCountsOnce(t *testing.T) {
	l := open(t)
	short, long := decided(again, start.Add(time.Hour)), decided(again, start.Add(2*time.Hour))
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
	want(t, "recorded", r, ledger.Recorded{Added: 700, Extended: 150, Unknown: 850})
	p := plan(t, l, start)
	want(t, "in force", p.InForce, 1000)
	want(t, "standing", len(standing(t, l, p)), 1000)
	want(t, "in force an hour later", plan(t, l, start.Add(time.Hour)).InForce, 500)
}

func TestOfTooManyDecisionsAtOnceTheBestAreEnforcedUpToTheLimit(t *testing.T) {
	l := open(t)
	record(t, l, start, decided("198.51.100.1/32", start.Add(minute)))
	later := start.Add(2 * minute) // that one is over, and its row is still there
	decisions := numbered(0, 500)
	for i := range decisions {
		decisions[i].Until = later.Add(time.Duration(i+1) * time.Minute)
		if i >= 400 {
			decisions[i].Origin = "CAPI"
		}
	}
	if _, err := l.Record(t.Context(), decisions, later, 300); err != nil {
		t.Fatal(err)
	}
	p := plan(t, l, later)
	want(t, "in force", p.InForce, 300)
	want(t, "waiting", p.Waiting, 200)
	enforced := standing(t, l, p)
	want(t, "enforced", len(enforced), 300)
	want(t, "one of a list", slices.Contains(enforced, decisions[450].Prefix.String()), false)
	want(t, "the oldest of the local ones", slices.Contains(enforced, decisions[0].Prefix.String()), false)
	want(t, "the newest of the local ones", slices.Contains(enforced, decisions[399].Prefix.String()), true)
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
