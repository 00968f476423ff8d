package ledger_test

import (
	"fmt"
	"testing"
	"time"
)

// step flushes or changes something, at random.
func (e *environment) step() {
	if e.random.IntN(7) == 0 {
		e.flush(true)
		return
	}
	e.change()
}

// change makes one random change of decisions, bans or settings.
func (e *environment) change() {
	switch e.random.IntN(13) {
	case 0, 1, 2, 3:
		e.decide(e.value())
	case 4, 5:
		e.poll()
	case 6:
		for _, d := range e.pick() {
			e.remove(d.ID, e.random.IntN(3) > 0)
		}
	case 7:
		e.fullRead(1 + e.random.IntN(2))
	case 8:
		e.lift()
	case 9:
		e.protect()
	case 10:
		e.limit = []int{3, 7, noLimit}[e.random.IntN(3)]
	case 11:
		e.now = e.now.Add(time.Duration(e.random.IntN(15)) * time.Minute)
		if e.clockGoesBack && e.random.IntN(2) == 0 {
			e.now = e.now.Add(-20 * time.Minute)
		}
		e.change() // it may find bans that ended since the last flush
	case 12: // a decision is delivered again
		if e.random.IntN(2) == 0 {
			e.list(nil, e.pick())
			break
		}
		for _, d := range e.pick() {
			e.alert(d)
		}
	}
}

// compareStatus compares the status with a full count, now or later, for one way to enforce.
func (e *environment) compareStatus() {
	e.Helper()
	before := lines(e.T, e.ledger, "SELECT target FROM flushing")[0]
	storeTarget(e.T, e.ledger, targets[e.random.IntN(len(targets))])
	status(e.T, e.ledger, e.now.Add(time.Duration(e.random.IntN(5))*10*time.Hour))
	storeTarget(e.T, e.ledger, before)
	if e.Failed() {
		e.FailNow()
	}
}

// letEverythingEnd waits until the last decision has ended. An entry by the group lasts longer.
func (e *environment) letEverythingEnd() {
	for _, d := range e.api {
		e.now = later(e.now, d.Until)
	}
	for _, k := range e.known {
		e.now = later(e.now, k.Until)
	}
	clear(e.known)
	if e.random.IntN(2) == 0 { // the Local API may not report the ends
		e.poll()
	}
	clear(e.api)
	e.added, e.gone = nil, nil
	for range 3 {
		e.flush(false)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// wantNothing fails if the ledger or the appliance still has anything.
func (e *environment) wantNothing() {
	e.Helper()
	if len(e.entries)+len(e.files) > 0 {
		e.Fatalf("on the blacklist: %v; in the files: %v", e.entries, e.files)
	}
	for _, query := range []string{
		"SELECT prefix FROM ban", "SELECT id FROM decision", "SELECT 1 FROM flushing WHERE unsure <> 0", "SELECT class FROM tally WHERE enforced <> 0 OR waiting <> 0",
	} {
		e.want(query, lines(e.T, e.ledger, query), []string(nil))
	}
	s := status(e.T, e.ledger, e.now)
	if s.ToBlock+s.ToUnblock > 0 || !s.Pending.IsZero() {
		e.Fatalf("status: %+v", s)
	}
}

func TestRandomEventsKeepTheRightBansAndLeaveNothingAtTheEnd(t *testing.T) {
	testRandomEvents(t, 0, 6)
}

func TestLongRandomEventsKeepTheRightBansAndLeaveNothingAtTheEnd(t *testing.T) {
	testRandomEvents(t, 6, 30)
}

// testRandomEvents runs one environment for each seed. Any six seeds in a row differ in limit, UUIDs, clock and filter.
func testRandomEvents(t *testing.T, first, end uint64) {
	for seed := first; seed < end; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			e := newEnvironment(t, seed)
			for range 2 {
				for range 120 {
					e.step()
					e.compareStatus()
					if !e.clockGoesBack {
						e.verify()
					}
				}
				e.letEverythingEnd()
				e.wantNothing()
			}
		})
	}
}
