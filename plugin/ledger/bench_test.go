package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

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
	n := 100_000
	record(b, l, start, numbered(0, n)...)
	for b.Loop() {
		record(b, l, start, numbered(n, 1)...)
		n++
	}
}

func BenchmarkRemoveDeleted(b *testing.B) {
	for _, count := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			bans := numbered(0, count)
			for i := range bans {
				bans[i].UUID = ban.ParseUUID(fmt.Sprint(i))
			}
			for b.Loop() {
				b.StopTimer()
				l := open(b)
				record(b, l, start, bans...)
				b.StartTimer()
				_, err := l.RemoveDeleted(b.Context(), bans, start, noLimit)
				check(b, err)
			}
		})
	}
}

func BenchmarkList(b *testing.B) {
	for _, each := range []int{1, 3} {
		b.Run(fmt.Sprintf("%d decisions an address", each), func(b *testing.B) {
			for b.Loop() {
				l := open(b)
				for round := range 2 {
					began := time.Now()
					r, err := l.BeginFullRead(b.Context())
					check(b, err)
					var some []ban.Decision
					for n := range 300_000 * each {
						a := uint32(n*2654435761) % 300_000
						p := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(a >> 16), byte(a >> 8), byte(a)}), 32)
						some = append(some, ban.Decision{UUID: ban.ParseUUID(fmt.Sprint(n)), ID: int64(n + 1), Prefix: p, RangeBits: 32,
							Until: start.Add(time.Hour), Type: "ban", Origin: "lists:tor", Scenario: "tor"})
						if len(some) == 1000 {
							_, err := l.RecordListed(b.Context(), r, some, start, noLimit)
							check(b, err)
							some = some[:0]
						}
					}
					_, err = l.EndFullRead(b.Context(), r, func(ban.Decision) bool { return true }, start)
					check(b, err)
					b.Logf("round %d: %s", round, time.Since(began))
				}
			}
		})
	}
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
			p := flush(b, l, start, byGroup)
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

func BenchmarkStatus(b *testing.B) {
	const inForce = 300_000
	l := open(b)
	check(b, l.SetTarget(b.Context(), ledger.Target{Host: "one", Group: "Crowdsec", DeleteGroup: "Gone"}, start))
	record(b, l, start, numbered(0, inForce)...)
	measure := func(name string, toBlock int) {
		b.Run(name, func(b *testing.B) {
			var s ledger.Status
			var err error
			for b.Loop() {
				s, err = l.Status(b.Context(), start)
				check(b, err)
			}
			if s.ToBlock != toBlock || s.InForce.Total() < inForce {
				b.Errorf("to block %d, in force %v", s.ToBlock, s.InForce)
			}
		})
	}
	measure("all pending", inForce)
	flush(b, l, start, byGroup)
	record(b, l, start, numbered(inForce, 5)...)
	measure("five pending", 5)
}

// BenchmarkFirstFlush measures what the ledger costs in the first flush of a list, which blocks it by the group.
func BenchmarkFirstFlush(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		l := open(b)
		record(b, l, start, numbered(0, 100_000)...)
		b.StartTimer()
		p := plan(b, l, start)
		check(b, l.RecordAttempt(b.Context(), p))
		check(b, l.RecordUnsure(b.Context(), p))
		recordOutcome(b, l, p, byGroup(p, start))
	}
}

// BenchmarkOutcome measures how long the outcome of a flush takes that blocks a list by the group.
func BenchmarkOutcome(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		l := open(b)
		record(b, l, start, numbered(0, 300_000)...)
		p := plan(b, l, start)
		b.StartTimer()
		recordOutcome(b, l, p, byGroup(p, start))
	}
}

// BenchmarkOneMoreBan measures what the ledger costs in the flush of one new ban among many.
func BenchmarkOneMoreBan(b *testing.B) {
	l := open(b)
	record(b, l, start, numbered(0, 100_000)...)
	flush(b, l, start, byGroup)
	n := 100_000
	for b.Loop() {
		b.StopTimer()
		record(b, l, start, numbered(n, 1)...)
		n++
		p := plan(b, l, start)
		b.StartTimer()
		check(b, l.RecordAttempt(b.Context(), p))
		recordOutcome(b, l, p, oneByOne(p, start))
	}
}

// BenchmarkANewBanAmongManyThatWait measures a new ban that makes a ban of a list wait, and its flush.
func BenchmarkANewBanAmongManyThatWait(b *testing.B) {
	const limit = 100_000
	for _, listed := range []int{100_000, 300_000} {
		b.Run(fmt.Sprint(listed), func(b *testing.B) {
			l := open(b)
			lists := numbered(0, listed)
			for i := range lists {
				lists[i].Origin = "lists:tor"
			}
			list(b, l, limit, lists...)
			p := flush(b, l, start, byGroup)
			n := listed
			for b.Loop() {
				recordAtMost(b, l, limit, start, numbered(n, 1)...)
				check(b, l.ApplyLimit(b.Context(), start, limit))
				p = flush(b, l, start, oneByOne)
				n++
			}
			if p.InForce != limit || p.Waiting != n-limit || len(p.Block) != 1 || len(p.Unblock) != 1 {
				b.Errorf("in force %d, waiting %d, to block %d, to unblock %d", p.InForce, p.Waiting, len(p.Block), len(p.Unblock))
			}
		})
	}
}
