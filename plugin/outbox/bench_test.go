package outbox_test

import (
	"path/filepath"
	"testing"

	"notification-stormshield/plugin/ledger"
)

// BenchmarkAddOne compares what CrowdSec waits for: one decision of an alert into an outbox with 100,000 messages that wait, and into a
// ledger with 100,000 bans.
func BenchmarkAddOne(b *testing.B) {
	const before = 100_000
	b.Run("outbox", func(b *testing.B) {
		o := open(b)
		run(b, o, "PRAGMA synchronous = OFF")
		for n := range before {
			add(b, o, start, n)
		}
		run(b, o, "PRAGMA synchronous = FULL")
		n := before
		for b.Loop() {
			add(b, o, start, n)
			n++
		}
	})
	b.Run("ledger", func(b *testing.B) {
		l, err := ledger.Open(b.Context(), filepath.Join(b.TempDir(), "test.db"))
		check(b, err)
		defer l.Close()
		_, err = l.Record(b.Context(), numbered(0, before), start, before*10)
		check(b, err)
		n := before
		for b.Loop() {
			_, err := l.Record(b.Context(), numbered(n, 1), start, before*10)
			check(b, err)
			n++
		}
	})
}

// BenchmarkAddMany adds the decisions of the largest alert that CrowdSec sends.
func BenchmarkAddMany(b *testing.B) {
	decisions := numbered(0, 200_000)
	for b.Loop() {
		b.StopTimer()
		o := open(b)
		b.StartTimer()
		check(b, o.Add(b.Context(), decisions, start))
	}
}
