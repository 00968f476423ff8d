package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"net/netip"
	"slices"
	"strings"
	aboutToEnd "time"

	"notification-stormshield/plugin/ban"
)

const (
	// soon: when a decision extends a ban that ends within this time, the ban counts as ended and new. A flush that looked
	// at the clock a little later may be unblocking it at this moment.
	soon = aboutToEnd.Minute

	// mostDecisions bounds how many decisions of one ban are kept. When there are more, the one that ends first is left out.
	// It would matter only if all others ended before it, by deletions or by hand.
	mostDecisions = 1000

	// longAgo is the end of a ban that ended before its time. It is long ago, so that the ban does not come back when the clock is
	// set back.
	longAgo = 1

	// chunk is how many rows one step reads or changes. Each step of a long change is a transaction, so that Record
	// does not wait long.
	chunk = 1000

	// batch is how many rows one statement inserts.
	batch = 200
)

// change is one transaction that changes decisions.
type transaction struct {
	tx           *sql.Tx
	number       int64 // of this change
	now          int64
	soon         int64
	bans         int64 // how many rows ban has
	waiting      int64 // how many of them wait
	swapsMax     int64 // how many swaps of a waiting ban and an enforced one this change may cause
	nextBan      int64
	lastDecision int64 // the decision that was recorded last
	pending      bool  // it changed what must be blocked
	prepared     map[string]*sql.Stmt
	recorded     Recorded
}

// transact runs a transaction that changes decisions, and then chooses which bans to enforce.
func (l *Ledger) transact(ctx context.Context, now aboutToEnd.Time, limit int, do func(*transaction) error) (Recorded, error) {
	t := &transaction{now: now.UnixMilli(), soon: now.Add(soon).UnixMilli(), prepared: map[string]*sql.Stmt{}}
	err := l.write(ctx, func(tx *sql.Tx) error {
		t.tx = tx
		err := tx.QueryRowContext(ctx, "SELECT changes + 1, bans, waiting, decisions, (SELECT COALESCE(MAX(id), 0) + 1 FROM ban) FROM flushing").
			Scan(&t.number, &t.bans, &t.waiting, &t.lastDecision, &t.nextBan)
		if err == nil {
			err = do(t)
		}
		if err == nil {
			err = t.choose(ctx, limit)
		}
		if err != nil {
			return err
		}
		if t.pending {
			l.own.Store(t.number) // before others can see it
		} else {
			t.number--
		}
		_, err = tx.ExecContext(ctx, "UPDATE flushing SET changes = ?, bans = ?, waiting = ?, decisions = ?", t.number, t.bans, t.waiting, t.lastDecision)
		return err
	})
	return t.recorded, err
}

// update loads the bans of some prefixes, lets do change their decisions, and stores them. The map lacks a prefix that has no
// ban.
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

// arrive adds decisions to the ledger. seen gets the row of each decision that is stored afterwards.
func (t *transaction) addAll(ctx context.Context, decisions []ban.Decision, seen func(*storedDecision)) error {
	for some := range slices.Chunk(decisions, chunk) {
		err := t.update(ctx, prefixesOf(some), func(bans map[netip.Prefix]*storedBan) {
			for i := range some {
				if row := t.add(bans, &some[i]); row != nil {
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

// add adds one decision to its ban, unless the ban has it, and returns its row; nil for a new one that is over or left out.
func (t *transaction) add(bans map[netip.Prefix]*storedBan, d *ban.Decision) *storedDecision {
	s := bans[d.Prefix]
	if s == nil {
		s = &storedBan{prefix: d.Prefix, isNew: true}
		bans[d.Prefix] = s
	}
	until := d.Until.UnixMilli()
	if known := s.find(*d); known != nil {
		if known.uuid == (ban.UUID{}) && d.UUID != known.uuid {
			known.uuid, known.changed = d.UUID, true
		}
		if known.lapiID == 0 && d.ID != 0 {
			known.lapiID, known.changed = d.ID, true
			t.recorded.learnID(d.ID)
		}
		if !near(known.until, until, slowness) {
			known.until, known.changed, s.changed = until, true, true
		}
		if known.missing > 0 && d.ID != 0 {
			known.missing, known.changed = 0, true
		}
		return known
	}
	if until <= t.now || !s.makeRoom(until) {
		return nil
	}
	t.recorded.Unknown++
	t.recorded.learnID(d.ID)
	t.lastDecision++
	s.decisions = append(s.decisions, storedDecision{id: t.lastDecision, uuid: d.UUID, lapiID: d.ID, until: until, class: d.Class(), arrived: d})
	s.changed = true
	return &s.decisions[len(s.decisions)-1]
}

// makeRoom leaves out the decision that ends first when a ban has as many as it may have. It returns false if the new
// decision is that one.
func (s *storedBan) makeRoom(until int64) bool {
	if len(s.decisions) < mostDecisions {
		return true
	}
	first := slices.MinFunc(s.decisions, func(a, b storedDecision) int { return cmp.Compare(a.until, b.until) })
	return first.until < until && s.remove(func(d *storedDecision) bool { return d.id == first.id })
}

// storeBans writes the rows of bans that changed.
func (t *transaction) storeBans(ctx context.Context, bans []*storedBan) error {
	added := inserter{transaction: t, into: "INSERT INTO ban (id, prefix, ends, until, next, class, newest, change, pending_since) VALUES ", columns: 9}
	for _, s := range bans {
		if !s.changed {
			continue
		}
		t.recompute(s)
		var err error
		if s.isNew {
			s.id = t.nextBan
			t.nextBan++
			t.bans++
			err = added.add(ctx, s.id, s.prefix.String(), s.ends, s.until, s.next, s.class, s.newest, s.change, s.pendingSince)
		} else {
			err = t.exec(ctx, "UPDATE ban SET ends = ?, until = ?, next = ?, class = ?, newest = ?, change = ?, pending_since = ?, written = ?, expires = ? WHERE id = ?",
				s.ends, s.until, s.next, s.class, s.newest, s.change, s.pendingSince, s.written, s.expires, s.id)
		}
		if err != nil {
			return err
		}
	}
	return added.finish(ctx)
}

// judge sets the end, the class and the place in line of a ban by its decisions.
func (t *transaction) recompute(s *storedBan) {
	before := *s
	if !s.sum(t.now) {
		t.end(s)
		return
	}
	switch {
	case before.until == 0 && !s.isNew:
		if s.newest > before.newest || s.class < before.class {
			t.swapsMax++
		}
		return // choose compares it
	case before.until <= t.now && t.waiting > 0: // it is new, or was over
		s.until, s.pendingSince = 0, t.now
		t.waiting++
		t.swapsMax++
		return
	}
	if s.class > before.class || s.newest < before.newest {
		t.swapsMax++ // a waiting ban may go first now
	}
	s.until = s.ends
	if s.next == s.ends {
		s.next = 0
	}
	if s.until == before.until {
		return
	}
	t.pending = true
	if before.until > t.soon {
		if s.until > before.until {
			t.recorded.Extended++
		}
		return
	}
	t.recorded.Added++
	s.makePending(t.number, t.now)
}

// makePending makes a ban pending that had ended or waited. The appliance may still have its entry, or a flush may be removing
// that entry at this moment. So the ban must be written, and needs an entry of its own.
func (s *storedBan) makePending(number, now int64) {
	s.change, s.pendingSince = number, now
	if s.written != 0 || s.expires != 0 {
		s.written, s.expires = maybeListed, maybeBlocked
	}
}

// end ends a ban that has no decision in force any more.
func (t *transaction) end(s *storedBan) {
	switch {
	case s.isNew: // its decisions were lifted
	case s.until == 0:
		t.waiting--
	case s.until <= t.now:
		return
	}
	s.ends, s.until, s.next, s.pendingSince = longAgo, longAgo, 0, t.now
	if !s.isNew {
		t.recorded.Ended++
		t.pending = true
	}
}

// storeDecisions writes the rows of decisions that are new or changed, and deletes those that were removed.
func (t *transaction) storeDecisions(ctx context.Context, bans []*storedBan) error {
	added := inserter{transaction: t, into: `INSERT INTO decision (id, ban, uuid, lapi_id, bits, until, class, type, origin, scenario, lifted) VALUES `, columns: 11}
	for _, s := range bans {
		for _, id := range s.removed {
			if err := t.exec(ctx, "DELETE FROM decision WHERE ban = ? AND id = ?", s.id, id); err != nil {
				return err
			}
		}
		for i := range s.decisions {
			d := &s.decisions[i]
			var err error
			switch {
			case d.arrived != nil:
				a := d.arrived
				err = added.add(ctx, d.id, s.id, d.uuid.Bytes(), d.lapiID, a.RangeBits, d.until, d.class, a.Type, a.Origin, a.Scenario, d.lifted)
			case d.changed:
				err = t.exec(ctx, "UPDATE decision SET uuid = ?, lapi_id = ?, until = ?, lifted = ?, missing = ? WHERE ban = ? AND id = ?",
					d.uuid.Bytes(), d.lapiID, d.until, d.lifted, d.missing, s.id, d.id)
			}
			if err != nil {
				return err
			}
		}
	}
	return added.finish(ctx)
}

// exec runs a statement, which is prepared once in a transaction.
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

// inserter inserts many rows by few statements, because a statement has a cost of its own besides its rows.
type inserter struct {
	*transaction
	into    string
	columns int
	values  []any
}

func (i *inserter) add(ctx context.Context, values ...any) error {
	i.values = append(i.values, values...)
	if len(i.values) < batch*i.columns {
		return nil
	}
	return i.finish(ctx)
}

func (i *inserter) finish(ctx context.Context) error {
	if len(i.values) == 0 {
		return nil
	}
	row := "(?" + strings.Repeat(", ?", i.columns-1) + ")"
	err := i.exec(ctx, i.into+row+strings.Repeat(", "+row, len(i.values)/i.columns-1), i.values...)
	i.values = i.values[:0]
	return err
}

func prefixesOf(decisions []ban.Decision) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(decisions))
	for i := range decisions {
		all = append(all, decisions[i].Prefix)
	}
	return all
}
