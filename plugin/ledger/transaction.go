package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/plugin/ban"
)

const (
	// aboutToEnd is how long before its end a ban counts as ended when a decision extends it. It then becomes pending like a new ban,
	// because a flush that read the clock a little later may be unblocking it at this moment.
	aboutToEnd = time.Minute

	// mostDecisions bounds how many decisions of one ban are kept. When there are more, the one that ends first is dropped.
	mostDecisions = 1000

	// longAgo is the end of a ban that ended before its time. The ban does not come back when the clock is set back.
	longAgo = 1

	// chunk is how many rows one transaction reads or changes, so that Record does not wait long for a long change.
	chunk = 1000
)

// chunk returns how many rows one transaction changes that records acknowledgements. In PostgreSQL each row costs less, and each
// transaction costs several round trips.
func (l *Ledger) chunk() int {
	if l.shared {
		return 10 * chunk
	}
	return chunk
}

// transaction changes decisions, and the bans that they add up to.
type transaction struct {
	tx           *sql.Tx
	shared       bool  // the state is in PostgreSQL
	machine      int64 // the bit of this machine
	number       int64 // of this change
	flush        int64 // the number of the next flush
	now          int64
	soon         int64 // now plus aboutToEnd
	hasWaiting   bool  // some bans waited before this transaction
	overtaking   int64 // how many waiting bans may go before an enforced one because of this change
	enforced     int64 // how many bans were enforced before this transaction, with those that had ended
	firstBan     int64 // the id of the first new ban
	nextBan      int64 // the id of the next new ban
	forwarded    int64 // the last message of this machine's outbox that was recorded; -1: the state does not know this machine
	lastDecision int64 // the decision that was recorded last
	changed      bool  // the bans that must be blocked changed
	prepared     map[string]*sql.Stmt
	recorded     Recorded
}

// transact runs a transaction that changes decisions, and then decides which bans wait.
func (l *Ledger) transact(ctx context.Context, now time.Time, limit int, do func(*transaction) error) (Recorded, error) {
	t := &transaction{shared: l.shared, machine: l.machine.Load(), now: now.UnixMilli(), soon: now.Add(aboutToEnd).UnixMilli(), prepared: map[string]*sql.Stmt{}}
	err := l.write(ctx, func(tx *sql.Tx) error {
		t.tx = tx
		var term int64
		var ofHolder int
		var isTaken bool
		err := tx.QueryRowContext(ctx, `SELECT changes + 1, flushes + 1, decisions, enforced, has_waiting, (SELECT COALESCE(MAX(id), 0) + 1 FROM ban),
			max_bans, (SELECT term FROM holder), COALESCE((SELECT forwarded FROM machine WHERE name = ?1 AND number = ?3), -1),
			`+queryTaken+` FROM flushing
			CROSS JOIN (SELECT CAST(SUM(enforced) AS BIGINT) AS enforced, SUM(waiting) > 0 AS has_waiting FROM tally) AS counted`,
			l.name, l.identity, l.number()).
			Scan(&t.number, &t.flush, &t.lastDecision, &t.enforced, &t.hasWaiting, &t.firstBan, &ofHolder, &term, &t.forwarded, &isTaken)
		t.nextBan = t.firstBan
		before := t.lastDecision
		if err == nil && isTaken {
			err = ErrNameTaken
		}
		if err == nil {
			err = do(t)
		}
		if ofHolder > 0 && term != l.term.Load() {
			limit = ofHolder // the machine that flushes decides how much the appliance holds
		}
		if err == nil {
			err = t.applyLimit(ctx, limit)
		}
		if err != nil {
			return err
		}
		if t.changed {
			l.own.Store(t.number) // before other goroutines can read it in the file
		} else {
			t.number--
		}
		if !t.changed && t.lastDecision == before {
			return nil
		}
		_, err = tx.ExecContext(ctx, "UPDATE flushing SET changes = ?, decisions = ?", t.number, t.lastDecision)
		return err
	})
	return t.recorded, err
}

// update loads the bans of some prefixes, calls do to change their decisions, and stores the bans. A prefix without a ban is not
// in the map.
func (t *transaction) update(ctx context.Context, prefixes []netip.Prefix, do func(bans map[netip.Prefix]*storedBan)) error {
	bans, err := load(ctx, t.tx, prefixes)
	if err != nil {
		return err
	}
	do(bans)
	inOrder := slices.SortedFunc(maps.Values(bans), func(a, b *storedBan) int { return a.prefix.Compare(b.prefix) })
	if err := t.storeBans(ctx, inOrder); err != nil {
		return err
	}
	return t.storeDecisions(ctx, inOrder)
}

// addAll adds decisions to the ledger. It calls seen with the row of each decision that is stored afterwards.
func (t *transaction) addAll(ctx context.Context, decisions []ban.Decision, seen func(*storedDecision)) error {
	for some := range slices.Chunk(decisions, chunk) {
		err := t.update(ctx, prefixesOf(some), func(bans map[netip.Prefix]*storedBan) {
			for i := range some {
				if row := t.add(bans, &some[i], t.machine); row != nil {
					seen(row)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds one decision of some machines to its ban, unless the ban has it already. It returns the row of the decision. It returns nil
// for a new decision that has ended, and for one that mostDecisions drops.
func (t *transaction) add(bans map[netip.Prefix]*storedBan, d *ban.Decision, sources int64) *storedDecision {
	b := bans[d.Prefix]
	if b == nil {
		b = &storedBan{prefix: d.Prefix, isNew: true}
		bans[d.Prefix] = b
	}
	until := d.Until.UnixMilli()
	if known := b.find(*d, sources); known != nil {
		if known.uuid == (ban.UUID{}) && d.UUID != known.uuid {
			known.uuid, known.changed = d.UUID, true
		}
		if known.lapiID == 0 && d.ID != 0 {
			known.lapiID, known.changed = d.ID, true
			t.recorded.learnID(d.ID)
		}
		if !areNear(known.until, until, ignoredShift) {
			known.until, known.changed, b.changed = until, true, true
		}
		if sources&^known.sources != 0 {
			known.sources, known.changed = known.sources|sources, true
		}
		if d.ID != 0 {
			known.wasSeen(sources)
		}
		return known
	}
	if until <= t.now || !b.makeRoom(until) {
		return nil
	}
	t.recorded.Unknown++
	t.recorded.learnID(d.ID)
	t.lastDecision++
	b.decisions = append(b.decisions, storedDecision{id: t.lastDecision, uuid: d.UUID, lapiID: d.ID, until: until, class: d.Class(),
		sources: sources, arrived: d})
	b.changed = true
	return &b.decisions[len(b.decisions)-1]
}

// makeRoom drops the decision that ends first if the ban has mostDecisions. It returns false if the new decision ends first.
func (b *storedBan) makeRoom(until int64) bool {
	if len(b.decisions) < mostDecisions {
		return true
	}
	first := slices.MinFunc(b.decisions, func(a, b storedDecision) int { return cmp.Compare(a.until, b.until) })
	return first.until < until && b.remove(func(d *storedDecision) bool { return d.id == first.id })
}

// exec runs a statement. It prepares each statement once in a transaction.
func (t *transaction) exec(ctx context.Context, text string, parameters ...any) error {
	statement := t.prepared[text]
	if statement == nil {
		var err error
		if statement, err = t.tx.PrepareContext(ctx, text); err != nil {
			return err
		}
		t.prepared[text] = statement
	}
	_, err := statement.ExecContext(ctx, parameters...)
	return err
}

func prefixesOf(decisions []ban.Decision) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(decisions))
	for i := range decisions {
		all = append(all, decisions[i].Prefix)
	}
	return all
}
