package ledger_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ledger"
)

// flushing is one flush of a world.
type flushing struct {
	*world
	plan      ledger.Plan
	byGroup   bool
	done      appliance.Outcome
	leftovers []netip.Prefix
}

// flush applies what is pending. With faults, it may be cut at any step: by an error, or by a crash.
func (w *world) flush(faults bool) {
	w.Helper()
	w.check(w.ledger.ApplyLimit(w.Context(), w.now, w.limit))
	question := ledger.PlanOptions{Now: w.now, Renew: w.now.Add(12 * time.Hour), SingleMax: 6}
	p, err := w.ledger.Plan(w.Context(), question)
	w.check(err)
	if !p.HasPending() {
		w.check(w.ledger.Tidy(w.Context(), p))
		return
	}
	f := &flushing{world: w, plan: p, byGroup: len(p.Block) > question.SingleMax || p.InForce > 0 && w.random.IntN(4) == 0}
	w.check(w.ledger.RecordAttempt(w.Context(), p, f.byGroup))
	f.done.Mark = p.Mark
	cut, change, changed := -1, -1, false
	if faults {
		cut, change = w.random.IntN(8), w.random.IntN(8)
	}
	for at, do := range []func(){f.block, f.write, f.assert, f.unblock, f.clear} {
		if at == cut && w.random.IntN(2) == 0 {
			return // the process is killed
		}
		if at == cut {
			w.check(w.ledger.RecordOutcome(w.Context(), p, f.done)) // an error ends the flush
			return
		}
		do()
		if at == change {
			f.changeMeanwhile()
			changed = true
		}
	}
	f.done.Cleared, f.done.At = true, w.now
	w.check(w.ledger.RecordOutcome(w.Context(), p, f.done))
	if changed {
		return
	}
	if blocked, enforced := w.blocked(), standing(w.T, w.ledger, p); !slices.Equal(blocked, enforced) {
		w.Fatalf("after a flush %v are blocked, and %v are in force", blocked, enforced)
	}
	if listed := texts(slices.Collect(maps.Keys(w.files))); !slices.Equal(listed, standing(w.T, w.ledger, p)) {
		w.Fatalf("after a flush the files list %v", listed)
	}
}

// changeMeanwhile changes something while the flush is under way. A decision may be on a prefix that the flush unblocks, and
// come from a process with an earlier clock.
func (f *flushing) changeMeanwhile() {
	if len(f.plan.Unblock) == 0 || f.random.IntN(2) == 0 {
		f.change()
		return
	}
	back := time.Duration(f.random.IntN(2)) * 30 * time.Second
	f.now = f.now.Add(-back)
	f.decide(f.plan.Unblock[f.random.IntN(len(f.plan.Unblock))])
	f.now = f.now.Add(back)
}

func (f *flushing) block() {
	if f.byGroup {
		return
	}
	for _, b := range f.plan.Block {
		f.entries[b.Prefix] = b.Until
		f.done.Blocked = append(f.done.Blocked, appliance.Entry{Prefix: b.Prefix, Expires: b.Until})
	}
}

// write adds to the files what they lack: what is pending if they are as the last flush left them, or everything. What must
// be unblocked stays in them until it is.
func (f *flushing) write() {
	add := f.plan.Add
	if f.plan.Mark != f.mark() {
		var err error
		add, err = f.ledger.BansInForce(f.Context(), f.plan)
		f.check(err)
		for p := range f.files {
			if !slices.Contains(add, p) {
				f.leftovers = append(f.leftovers, p)
			}
		}
	}
	for _, p := range add {
		f.files[p] = true
	}
	f.version++
	f.done.Listed, f.done.Mark, f.done.Leftovers = true, f.mark(), len(f.leftovers)
}

func (w *world) mark() string { return fmt.Sprintf("version %d", w.version) }

func (f *flushing) assert() {
	if !f.byGroup {
		return
	}
	f.done.Asserted, f.done.AssertedUntil = f.now, f.now.Add(24*time.Hour)
	all, err := f.ledger.BansInForce(f.Context(), f.plan)
	f.check(err)
	for _, p := range all {
		f.entries[p] = f.done.AssertedUntil
	}
}

func (f *flushing) unblock() {
	for _, p := range slices.Concat(f.plan.Unblock, f.leftovers) {
		delete(f.entries, p)
		f.done.Unblocked = append(f.done.Unblocked, p)
	}
}

func (f *flushing) clear() {
	for _, p := range slices.Concat(f.plan.Remove, f.leftovers) {
		delete(f.files, p)
	}
	f.version++
	f.done.Mark = f.mark()
}
