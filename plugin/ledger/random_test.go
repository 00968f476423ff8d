package ledger_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// step does one thing at random.
func (w *world) step(clockGoesBack bool) {
	switch w.random.IntN(14) {
	case 0, 1, 2, 3:
		w.decide()
	case 4, 5:
		w.poll()
	case 6:
		if ids := slices.Sorted(maps.Keys(w.api)); len(ids) > 0 {
			w.remove(ids[w.random.IntN(len(ids))], w.random.IntN(3) > 0)
		}
	case 7:
		w.fullRead(1 + w.random.IntN(2))
	case 8:
		w.lift()
	case 9:
		w.protect()
	case 10:
		w.limit = []int{3, 7, many}[w.random.IntN(3)]
	case 11, 12:
		w.flush(true)
	case 13:
		w.now = w.now.Add(time.Duration(w.random.IntN(15)) * time.Minute)
		if clockGoesBack && w.random.IntN(2) == 0 {
			w.now = w.now.Add(-20 * time.Minute)
		}
	}
}

// letEverythingEnd waits until the last decision is over. An entry that a group made lasts longer.
func (w *world) letEverythingEnd() {
	for _, d := range w.api {
		w.now = later(w.now, d.Until)
	}
	for _, k := range w.known {
		w.now = later(w.now, k.Until)
	}
	clear(w.known)
	if w.random.IntN(2) == 0 { // the Local API may not say so any more
		w.poll()
	}
	clear(w.api)
	w.added, w.gone = nil, nil
	for range 3 {
		w.flush(false)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// wantNothing says whether the ledger or the appliance holds anything.
func (w *world) wantNothing() {
	w.Helper()
	if len(w.entries)+len(w.files) > 0 {
		w.Fatalf("on the blacklist: %v; in the files: %v", w.entries, w.files)
	}
	for _, query := range []string{"SELECT prefix FROM ban", "SELECT id FROM decision", "SELECT 1 FROM flushing WHERE bans <> 0 OR waiting <> 0 OR unsure <> 0"} {
		left, err := w.ledger.Lines(w.Context(), query)
		w.check(err)
		if len(left) > 0 {
			w.Fatalf("%s: %v", query, left)
		}
	}
	s, err := w.ledger.Status(w.Context(), w.now)
	w.check(err)
	if s.ToBlock+s.ToUnblock > 0 || !s.Pending.IsZero() {
		w.Fatalf("status: %+v", s)
	}
}

func TestWhateverHappensTheLedgerKnowsWhatToBlockAndNothingStaysWhenEverythingHasEnded(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			clockGoesBack := seed%3 == 2 // then what is over may come back: only the end is compared
			for range 4 {
				for range 60 {
					w.step(clockGoesBack)
					if !clockGoesBack {
						w.check(w.ledger.Choose(w.Context(), w.now, w.limit))
						w.verify(plan(t, w.ledger, w.now))
					}
				}
				w.letEverythingEnd()
				w.wantNothing()
			}
		})
	}
}
