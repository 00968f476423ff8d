package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"notification-stormshield/plugin/ban"
)

// Recorded is what a change did to the bans.
type Recorded struct {
	Added    int // bans that were not enforced before, or not for much longer
	Extended int // bans that now end later
	Ended    int // bans that ended before their time
	Unknown  int // decisions that the ledger did not know
	// Unmatched are deletions of which a decision without UUID and ID may be the subject: only a full read can tell.
	Unmatched int
	LowestID  int64 // the lowest ID that the ledger did not know; 0: there was none
	Change    int64 // the number of the change
}

// Add adds up what several changes did.
func (r *Recorded) Add(more Recorded) {
	r.Added, r.Extended, r.Ended = r.Added+more.Added, r.Extended+more.Extended, r.Ended+more.Ended
	r.Unknown, r.Unmatched = r.Unknown+more.Unknown, r.Unmatched+more.Unmatched
	r.Change = max(r.Change, more.Change)
	r.learnID(more.LowestID)
}

// learnID counts an ID that the ledger did not know; 0 is none.
func (r *Recorded) learnID(id int64) {
	if id != 0 && (r.LowestID == 0 || id < r.LowestID) {
		r.LowestID = id
	}
}

// Record stores decisions of alerts. Once it has returned they survive any crash. A decision that is known
// changes nothing. At most limit bans are enforced; see the package comment for which.
//
// Calls that arrive while another one waits for the disk are stored together, in one transaction.
func (l *Ledger) Record(ctx context.Context, decisions []ban.Decision, now time.Time, limit int) (Recorded, error) {
	// A cancelled call is finished all the same: CrowdSec would only send the message again.
	ctx = context.WithoutCancel(ctx)
	w := &waiting{decisions: ordered(decisions), now: now, limit: limit, err: errNotRecorded}
	l.queue.add(w)
	l.writing.Lock()
	defer l.writing.Unlock()
	if !w.done {
		l.recordAll(ctx, l.queue.take())
	}
	return w.recorded, l.explain(w.err, "record %d decisions", len(decisions))
}

// errNotRecorded is the result of a call whose transaction panicked in another call.
var errNotRecorded = errors.New("the transaction did not end")

// waiting is a call of Record that waits for its turn.
type waiting struct {
	decisions []ban.Decision
	now       time.Time
	limit     int

	// The outcome. The holder of the ledger's lock writes and reads it.
	done     bool
	recorded Recorded
	err      error
}

// queue holds the calls of Record that no transaction has begun.
type queue struct {
	mu  sync.Mutex
	all []*waiting
}

func (q *queue) add(w *waiting) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, w)
}

func (q *queue) take() []*waiting {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.all
	q.all = nil
	return all
}

// recordAll stores what several calls brought, in one transaction. Its caller holds the lock for writing.
func (l *Ledger) recordAll(ctx context.Context, all []*waiting) {
	err := l.transact(ctx, func(tx *sql.Tx) error {
		c, err := l.beginChange(ctx, tx)
		if err != nil {
			return err
		}
		for _, w := range all {
			err := c.step(ctx, w.now, w.limit, func(c *change) error { return c.arrive(ctx, w.decisions, ignoreRow) })
			if err != nil {
				return err
			}
			w.recorded = c.recorded
		}
		return l.endChange(ctx, c)
	})
	for _, w := range all {
		w.done, w.err = true, err
	}
}

// ignoreRow is for a caller of arrive that needs no rows.
func ignoreRow(*decision) {}

// ordered sorts decisions by their prefix, so that each of many goes to the page of the file that the one before it used.
func ordered(decisions []ban.Decision) []ban.Decision {
	order := make([]int, len(decisions)) // a decision is large, and sorting moves it often
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(decisions[a].Prefix.Compare(decisions[b].Prefix), a-b) })
	sorted := make([]ban.Decision, len(decisions))
	for i, of := range order {
		sorted[i] = decisions[of]
	}
	return sorted
}

// RecordFound stores bans that were found on the appliance and that no decision explains, such as those of the older
// Python component or of a lost state. A prefix that the ledger knows stays as it is.
func (l *Ledger) RecordFound(ctx context.Context, found []netip.Prefix, until, now time.Time, limit int) (Recorded, error) {
	recorded, err := l.change(ctx, now, limit, func(c *change) error {
		for some := range slices.Chunk(found, chunk) {
			err := c.update(ctx, some, func(bans map[netip.Prefix]*stored) {
				for _, p := range some {
					if bans[p] == nil {
						c.add(bans, &ban.Decision{Prefix: p, Bits: p.Bits(), Until: until, Type: ban.Found, Origin: ban.Found, Scenario: "found on the appliance"})
					}
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return recorded, l.explain(err, "record %d bans that were found on the appliance", len(found))
}
