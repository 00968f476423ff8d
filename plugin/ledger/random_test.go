package ledger_test

import (
	"fmt"
	"testing"
	"time"
)

// step does one thing at random.
func (w *world) step() {
	if w.random.IntN(7) == 0 {
		w.flush(true)
		return
	}
	w.change()
}

// change is a step that is no flush.
func (w *world) change() {
	switch w.random.IntN(13) {
	case 0, 1, 2, 3:
		w.decide(w.value())
	case 4, 5:
		w.poll()
	case 6:
		for _, d := range w.pick() {
			w.remove(d.ID, w.random.IntN(3) > 0)
		}
	case 7:
		w.fullRead(1 + w.random.IntN(2))
	case 8:
		w.lift()
	case 9:
		w.protect()
	case 10:
		w.limit = []int{3, 7, many}[w.random.IntN(3)]
	case 11:
		w.now = w.now.Add(time.Duration(w.random.IntN(15)) * time.Minute)
		if w.clockGoesBack && w.random.IntN(2) == 0 {
			w.now = w.now.Add(-20 * time.Minute)
		}
		w.change() // which may find bans that are over, and that no flush has looked at
	case 12: // a decision is delivered again
		if w.random.IntN(2) == 0 {
			w.list(nil, w.pick())
			break
		}
		for _, d := range w.pick() {
			w.alert(d)
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
	for _, query := range []string{
		"SELECT prefix FROM ban", "SELECT id FROM decision", "SELECT 1 FROM flushing WHERE bans <> 0 OR waiting <> 0 OR unsure <> 0",
	} {
		w.want(query, lines(w.T, w.ledger, query), []string(nil))
	}
	s := status(w.T, w.ledger, w.now)
	if s.ToBlock+s.ToUnblock > 0 || !s.Pending.IsZero() {
		w.Fatalf("status: %+v", s)
	}
}

func TestWhateverHappensTheLedgerKnowsWhatToBlockAndNothingStaysWhenEverythingHasEnded(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			for range 2 {
				for range 120 {
					w.step()
					if !w.clockGoesBack {
						w.verify()
					}
				}
				w.letEverythingEnd()
				w.wantNothing()
			}
		})
	}
}
