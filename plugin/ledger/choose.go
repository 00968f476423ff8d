package ledger

import (
	"context"
	"fmt"
	"time"
)

// The queries that choose. Each reads one end of an index.
const (
	queryOver = "SELECT COUNT(*) FROM ban WHERE until > 0 AND until <= ?1"

	// queryDemote makes the last bans in line wait: those of the last class, and of these the oldest.
	queryDemote = `UPDATE ban SET until = 0, since = ?1 WHERE id IN
		(SELECT id FROM ban WHERE until > 0 AND until > ?1 ORDER BY class DESC, newest LIMIT ?2)`

	// queryPromote enforces the first in line of the bans that wait. The appliance may still have their entries.
	queryPromote = `UPDATE ban SET until = ends, change = ?1, since = ?2,
		expires = CASE WHEN written <> 0 OR expires <> 0 THEN 1 ELSE 0 END, written = CASE WHEN written <> 0 OR expires <> 0 THEN -1 ELSE 0 END
		WHERE id IN (SELECT id FROM ban WHERE until = 0 AND ends > ?2 ORDER BY class, newest DESC LIMIT ?3)`

	// queryExpired selects the bans that have decisions that are over, but not the bans that are over and only wait to be
	// forgotten. CROSS JOIN makes SQLite begin with what is over.
	queryExpired = `SELECT DISTINCT +decision.ban FROM decision CROSS JOIN ban ON ban.id = decision.ban
		WHERE decision.until <= ?1 AND (ban.until = 0 OR ban.ends > ?1)`
)

// choose keeps the number of enforced bans at the limit: the best class first, and within a class the decision that was
// recorded last. Every ban that waits comes after every enforced one, and each change keeps it so.
func (c *change) choose(ctx context.Context, limit int) error {
	if c.waiting == 0 && c.bans <= int64(limit) {
		return nil
	}
	var ended int64
	if err := c.tx.QueryRowContext(ctx, queryOver, c.now).Scan(&ended); err != nil {
		return err
	}
	room := int64(limit) - (c.bans - c.waiting - ended)
	switch {
	case room < 0:
		demoted, err := affected(c.tx.ExecContext(ctx, queryDemote, c.now, -room))
		c.waiting += demoted
		c.pending = c.pending || demoted > 0
		return err
	case room > 0 && c.waiting > 0:
		promoted, err := affected(c.tx.ExecContext(ctx, queryPromote, c.number, c.now, room))
		c.waiting -= promoted
		c.pending = c.pending || promoted > 0
		return err
	}
	return nil
}

// Choose removes decisions that are over, so that each ban has the class of those that remain. Then it enforces bans that
// wait if there is room by now. A flush calls it before it plans.
func (l *Ledger) Choose(ctx context.Context, now time.Time, limit int) error {
	isOver := func(d *decision) bool { return d.until <= now.UnixMilli() }
	_, err := l.removeEach(ctx, isOver, now, limit, queryExpired, now.UnixMilli())
	if err == nil {
		err = l.chooseWaiting(ctx, now, limit)
	}
	if err != nil {
		return fmt.Errorf("choose which bans to enforce in %s: %w", l.path, err)
	}
	return nil
}

func (l *Ledger) chooseWaiting(ctx context.Context, now time.Time, limit int) error {
	waiting := false
	if err := l.db.QueryRowContext(ctx, "SELECT waiting > 0 OR bans > ? FROM flushing", limit).Scan(&waiting); err != nil || !waiting {
		return err
	}
	_, err := l.change(ctx, now, limit, func(*change) error { return nil })
	return err
}
