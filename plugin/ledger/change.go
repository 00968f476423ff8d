package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"notification-stormshield/plugin/ban"
)

const (
	// soon: when a decision extends a ban that ends within this time, the ban counts as ended and new. A flush that looked
	// at the clock a little later may be unblocking it at this moment.
	soon = time.Minute

	// mostDecisions bounds how many decisions of one ban are kept. When there are more, the one that ends first is left out.
	// It would matter only if all others ended before it, by deletions or by hand.
	mostDecisions = 1000

	// over is the end of a ban that ended before its time. It is long ago, so that the ban does not come back when the clock is
	// set back.
	over = 1

	// chunk is how many rows one step reads or changes. Each step of a long change is a transaction, so that Record
	// does not wait long.
	chunk = 1000

	// batch is how many rows one statement inserts.
	batch = 200
)

// change is one transaction that changes decisions.
type change struct {
	tx       *sql.Tx
	number   int64 // of this change
	now      int64
	soon     int64
	bans     int64 // how many rows ban has
	waiting  int64 // how many of them wait
	entered  int64 // how many swaps of a waiting ban and an enforced one this change may cause
	nextBan  int64
	last     int64 // the decision that was recorded last
	pending  bool  // it changed what must be blocked
	prepared map[string]*sql.Stmt
	recorded Recorded
}

// change runs a transaction that changes decisions, and then chooses which bans to enforce.
func (l *Ledger) change(ctx context.Context, now time.Time, limit int, do func(*change) error) (Recorded, error) {
	c := &change{now: now.UnixMilli(), soon: now.Add(soon).UnixMilli(), prepared: map[string]*sql.Stmt{}}
	err := l.write(ctx, func(tx *sql.Tx) error {
		c.tx = tx
		err := tx.QueryRowContext(ctx, "SELECT changes + 1, bans, waiting, decisions, (SELECT COALESCE(MAX(id), 0) + 1 FROM ban) FROM flushing").
			Scan(&c.number, &c.bans, &c.waiting, &c.last, &c.nextBan)
		if err == nil {
			err = do(c)
		}
		if err == nil {
			err = c.choose(ctx, limit)
		}
		if err != nil {
			return err
		}
		if c.pending {
			l.own.Store(c.number) // before others can see it
		} else {
			c.number--
		}
		_, err = tx.ExecContext(ctx, "UPDATE flushing SET changes = ?, bans = ?, waiting = ?, decisions = ?", c.number, c.bans, c.waiting, c.last)
		return err
	})
	return c.recorded, err
}

// update loads the bans of some prefixes, lets do change their decisions, and stores them. The map lacks a prefix that has no
// ban.
func (c *change) update(ctx context.Context, prefixes []netip.Prefix, do func(bans map[netip.Prefix]*stored)) error {
	bans, err := load(ctx, c.tx, prefixes)
	if err != nil {
		return err
	}
	do(bans)
	inOrder := slices.SortedFunc(maps.Values(bans), func(a, b *stored) int { return a.prefix.Compare(b.prefix) })
	if err := c.storeBans(ctx, inOrder); err != nil {
		return err
	}
	return c.storeDecisions(ctx, inOrder)
}

// arrive adds decisions to the ledger. seen gets the row of each decision that is stored afterwards.
func (c *change) arrive(ctx context.Context, decisions []ban.Decision, seen func(*decision)) error {
	for some := range slices.Chunk(decisions, chunk) {
		err := c.update(ctx, prefixesOf(some), func(bans map[netip.Prefix]*stored) {
			for i := range some {
				if row := c.add(bans, &some[i]); row != nil {
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
func (c *change) add(bans map[netip.Prefix]*stored, d *ban.Decision) *decision {
	s := bans[d.Prefix]
	if s == nil {
		s = &stored{prefix: d.Prefix, isNew: true}
		bans[d.Prefix] = s
	}
	until := d.Until.UnixMilli()
	if known := s.find(*d); known != nil {
		if known.uuid == (ban.UUID{}) && d.UUID != known.uuid {
			known.uuid, known.changed = d.UUID, true
		}
		if known.number == 0 && d.ID != 0 {
			known.number, known.changed = d.ID, true
			c.recorded.learnID(d.ID)
		}
		if !near(known.until, until, slowness) {
			known.until, known.changed, s.changed = until, true, true
		}
		if known.missing > 0 && d.ID != 0 {
			known.missing, known.changed = 0, true
		}
		return known
	}
	if until <= c.now || !s.makeRoom(until) {
		return nil
	}
	c.recorded.Unknown++
	c.recorded.learnID(d.ID)
	c.last++
	s.decisions = append(s.decisions, decision{id: c.last, uuid: d.UUID, number: d.ID, until: until, class: d.Class(), arrived: d})
	s.changed = true
	return &s.decisions[len(s.decisions)-1]
}

// makeRoom leaves out the decision that ends first when a ban has as many as it may have. It returns false if the new
// decision is that one.
func (s *stored) makeRoom(until int64) bool {
	if len(s.decisions) < mostDecisions {
		return true
	}
	first := slices.MinFunc(s.decisions, func(a, b decision) int { return cmp.Compare(a.until, b.until) })
	return first.until < until && s.remove(func(d *decision) bool { return d.id == first.id })
}

// storeBans writes the rows of bans that changed.
func (c *change) storeBans(ctx context.Context, bans []*stored) error {
	added := inserter{change: c, into: "INSERT INTO ban (id, prefix, ends, until, next, class, newest, change, since) VALUES ", columns: 9}
	for _, s := range bans {
		if !s.changed {
			continue
		}
		c.judge(s)
		var err error
		if s.isNew {
			s.id = c.nextBan
			c.nextBan++
			c.bans++
			err = added.add(ctx, s.id, s.prefix.String(), s.ends, s.until, s.next, s.class, s.newest, s.change, s.since)
		} else {
			err = c.exec(ctx, "UPDATE ban SET ends = ?, until = ?, next = ?, class = ?, newest = ?, change = ?, since = ?, written = ?, expires = ? WHERE id = ?",
				s.ends, s.until, s.next, s.class, s.newest, s.change, s.since, s.written, s.expires, s.id)
		}
		if err != nil {
			return err
		}
	}
	return added.finish(ctx)
}

// judge sets the end, the class and the place in line of a ban by its decisions.
func (c *change) judge(s *stored) {
	before := *s
	if !s.sum(c.now) {
		c.end(s)
		return
	}
	switch {
	case before.until == 0 && !s.isNew:
		if s.newest > before.newest || s.class < before.class {
			c.entered++
		}
		return // choose compares it
	case before.until <= c.now && c.waiting > 0: // it is new, or was over
		s.until, s.since = 0, c.now
		c.waiting++
		c.entered++
		return
	}
	if s.class > before.class || s.newest < before.newest {
		c.entered++ // a waiting ban may go first now
	}
	s.until = s.ends
	if s.next == s.ends {
		s.next = 0
	}
	if s.until == before.until {
		return
	}
	c.pending = true
	if before.until > c.soon {
		if s.until > before.until {
			c.recorded.Extended++
		}
		return
	}
	c.recorded.Added++
	s.revive(c.number, c.now)
}

// revive makes a ban pending that had ended or waited. The appliance may still have its entry, or a flush may be removing
// that entry at this moment. So the ban must be written, and needs an entry of its own.
func (s *stored) revive(number, now int64) {
	s.change, s.since = number, now
	if s.written != 0 || s.expires != 0 {
		s.written, s.expires = uncertain, tried
	}
}

// end ends a ban that has no decision in force any more.
func (c *change) end(s *stored) {
	switch {
	case s.isNew: // its decisions were lifted
	case s.until == 0:
		c.waiting--
	case s.until <= c.now:
		return
	}
	s.ends, s.until, s.next, s.since = over, over, 0, c.now
	if !s.isNew {
		c.recorded.Ended++
		c.pending = true
	}
}

// storeDecisions writes the rows of decisions that are new or changed, and deletes those that were removed.
func (c *change) storeDecisions(ctx context.Context, bans []*stored) error {
	added := inserter{change: c, into: `INSERT INTO decision (id, ban, uuid, number, bits, until, class, type, origin, scenario, lifted) VALUES `, columns: 11}
	for _, s := range bans {
		for _, id := range s.removed {
			if err := c.exec(ctx, "DELETE FROM decision WHERE ban = ? AND id = ?", s.id, id); err != nil {
				return err
			}
		}
		for i := range s.decisions {
			d := &s.decisions[i]
			var err error
			switch {
			case d.arrived != nil:
				a := d.arrived
				err = added.add(ctx, d.id, s.id, d.uuid.Bytes(), d.number, a.RangeBits, d.until, d.class, a.Type, a.Origin, a.Scenario, d.lifted)
			case d.changed:
				err = c.exec(ctx, "UPDATE decision SET uuid = ?, number = ?, until = ?, lifted = ?, missing = ? WHERE ban = ? AND id = ?",
					d.uuid.Bytes(), d.number, d.until, d.lifted, d.missing, s.id, d.id)
			}
			if err != nil {
				return err
			}
		}
	}
	return added.finish(ctx)
}

// exec runs a statement, which is prepared once in a transaction.
func (c *change) exec(ctx context.Context, text string, parameters ...any) error {
	statement := c.prepared[text]
	if statement == nil {
		var err error
		if statement, err = c.tx.PrepareContext(ctx, text); err != nil {
			return err
		}
		c.prepared[text] = statement
	}
	_, err := statement.ExecContext(ctx, parameters...)
	return err
}

// inserter inserts many rows by few statements, because a statement has a cost of its own besides its rows.
type inserter struct {
	*change
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
