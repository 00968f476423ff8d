package ledger_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ledger"
)

// flushRun is one flush in an environment.
type flushRun struct {
	*environment
	plan      ledger.Plan
	writes    bool // it writes the files
	reassert  bool
	byGroup   bool // the group stands for all bans
	done      appliance.Outcome
	leftovers []netip.Prefix
}

// flush applies the pending changes. With faults, an error or a crash may end it at any step.
func (e *environment) flush(faults bool) {
	e.Helper()
	e.check(e.ledger.ApplyLimit(e.Context(), e.now, e.limit))
	question := ledger.PlanOptions{Now: e.now, Renew: e.now.Add(12 * time.Hour), SingleMax: 6, OneByOne: e.withoutSSH}
	p, err := e.ledger.Plan(e.Context(), question)
	e.check(err)
	if !p.HasPending() && !p.FilesDiffer() {
		e.check(e.ledger.Tidy(e.Context(), p))
		return
	}
	f := &flushRun{environment: e, plan: p, reassert: p.InForce > 0 && e.random.IntN(4) == 0}
	f.writes = !e.withoutSSH && (p.NeedsFiles() || f.reassert || !faults || e.random.IntN(2) == 0)
	f.byGroup = f.writes && (len(p.Block) > question.SingleMax || f.reassert)
	e.check(e.ledger.RecordAttempt(e.Context(), p))
	f.done.Mark = p.Mark
	cut, change, changed := -1, -1, false
	if faults {
		cut, change = e.random.IntN(8), e.random.IntN(8)
	}
	steps := []func(){f.block, f.write, f.assert, f.unblock, f.clear}
	if !f.writes {
		steps = []func(){f.block, f.unblock, f.blockMissing}
	}
	for at, do := range steps {
		if at == cut && e.random.IntN(2) == 0 {
			return // the process is killed
		}
		if at == cut {
			f.record() // an error ends the flush
			return
		}
		do()
		if at == change {
			f.changeMeanwhile()
			changed = true
		}
	}
	f.done.At = e.now
	if f.writes {
		f.done.Cleared, f.done.Compared = true, e.now
	}
	f.record()
	if changed {
		return
	}
	if blocked, enforced := e.blocked(), inForce(e.T, e.ledger, p); !slices.Equal(blocked, enforced) {
		e.Fatalf("after a flush %v are blocked, and %v are in force", blocked, enforced)
	}
	if !f.writes {
		return
	}
	if listed := texts(slices.Collect(maps.Keys(e.files))); !slices.Equal(listed, inForce(e.T, e.ledger, p)) {
		e.Fatalf("after a flush the files list %v", listed)
	}
}

// record records the outcome. The ledger must return one wait for each ban that became pending by a change and is blocked now.
func (f *flushRun) record() {
	f.Helper()
	var blocked []string
	for _, e := range f.done.Blocked {
		blocked = append(blocked, e.Prefix.String())
	}
	isNew := map[string]bool{}
	for _, p := range lines(f.T, f.ledger, "SELECT prefix FROM new_ban") {
		isNew[p] = true
	}
	count := 0
	for _, p := range inForce(f.T, f.ledger, f.plan) {
		if slices.Contains(blocked, p) || !f.done.Asserted.IsZero() {
			blocked = append(blocked, p)
			if isNew[p] {
				count++
			}
		}
	}
	waits, err := f.ledger.RecordOutcome(f.Context(), f.plan, f.done, f.now)
	f.check(err)
	f.want("new bans that the flush blocked", len(waits), count)
	run(f.T, f.ledger, "DELETE FROM new_ban WHERE prefix IN ('"+strings.Join(blocked, "', '")+"')")
}

// changeMeanwhile changes something during the flush. It may decide on a prefix that the flush unblocks, in a process with an
// earlier clock.
func (f *flushRun) changeMeanwhile() {
	if len(f.plan.Unblock) == 0 || f.random.IntN(2) == 0 {
		f.change()
		return
	}
	back := time.Duration(f.random.IntN(2)) * 30 * time.Second
	f.now = f.now.Add(-back)
	f.decide(f.plan.Unblock[f.random.IntN(len(f.plan.Unblock))])
	f.now = f.now.Add(back)
}

func (f *flushRun) block() {
	if f.byGroup {
		return
	}
	for _, b := range f.plan.Block {
		f.entries[b.Prefix] = b.Until
		f.done.Blocked = append(f.done.Blocked, appliance.Entry{Prefix: b.Prefix, Expires: b.Until})
	}
}

// blockMissing is a re-assert without SSH.
func (f *flushRun) blockMissing() {
	if !f.reassert {
		return
	}
	bans, err := f.ledger.BansWithEntry(f.Context(), f.plan)
	f.check(err)
	for _, b := range bans {
		if b.Until.After(f.now) && !f.entries[b.Prefix].After(f.now) {
			f.Fatalf("the ledger calls %s blocked, and it is not", b.Prefix)
		}
	}
	f.done.Confirmed = f.now
}

// write adds bans to the files: the pending ones if the files have the mark, and otherwise all. Ended bans stay in the files until
// they are unblocked.
func (f *flushRun) write() {
	f.check(f.ledger.RecordUnsure(f.Context(), f.plan))
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

func (e *environment) mark() string { return fmt.Sprintf("version %d", e.version) }

func (f *flushRun) assert() {
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

func (f *flushRun) unblock() {
	for _, p := range slices.Concat(f.plan.Unblock, f.leftovers) {
		delete(f.entries, p)
		f.done.Unblocked = append(f.done.Unblocked, p)
	}
}

func (f *flushRun) clear() {
	for _, p := range slices.Concat(f.plan.Remove, f.leftovers) {
		delete(f.files, p)
	}
	f.version++
	f.done.Mark = f.mark()
}
