package ledger

import (
	"context"
	"database/sql"
	"time"

	"notification-stormshield/plugin/ban"
)

// The queries that choose. Each reads one end of an index.
const (
	queryEndedCount = "SELECT COUNT(*) FROM ban WHERE until > 0 AND until <= ?1"

	queryFirst = "SELECT class, newest FROM ban WHERE until = 0 AND ends > ?1 ORDER BY class, newest DESC LIMIT ?2"
	queryLast  = "SELECT class, newest FROM ban WHERE until > 0 AND until > ?1 ORDER BY class DESC, newest LIMIT ?2"

	// queryDemote makes the last bans in line wait: those of the last class, and of these the oldest.
	queryDemote = `UPDATE ban SET until = 0, next = CASE next WHEN 0 THEN ends ELSE next END, pending_since = ?1 WHERE id IN
		(SELECT id FROM ban WHERE until > 0 AND until > ?1 ORDER BY class DESC, newest LIMIT ?2)`

	// queryPromote enforces the first in line of the bans that wait. The appliance may still have their entries.
	queryPromote = `UPDATE ban SET until = ends, change = ?1, pending_since = ?2,
		expires = CASE WHEN written <> 0 OR expires <> 0 THEN 1 ELSE 0 END, written = CASE WHEN written <> 0 OR expires <> 0 THEN -1 ELSE 0 END
		WHERE id IN (SELECT id FROM ban WHERE until = 0 AND ends > ?2 ORDER BY class, newest DESC LIMIT ?3)`

	// queryExpired selects bans that have an ended decision, but not those that have ended and will be deleted.
	queryExpired = "SELECT prefix FROM ban WHERE next > 0 AND next <= ?1 AND (until = 0 OR ends > ?1)"
)

// choose keeps the number of enforced bans at the limit: the best class first, and within a class the decision that was
// recorded last. Every ban that waits comes after every enforced one, and each change keeps it so.
func (t *transaction) choose(ctx context.Context, limit int) error {
	if t.waiting == 0 && t.bans <= int64(limit) {
		return nil
	}
	var ended int64
	if err := t.tx.QueryRowContext(ctx, queryEndedCount, t.now).Scan(&ended); err != nil {
		return err
	}
	room := int64(limit) - (t.bans - t.waiting - ended)
	if err := t.demote(ctx, -room); err != nil {
		return err
	}
	if err := t.promote(ctx, room); err != nil {
		return err
	}
	swaps, err := t.swaps(ctx)
	if err == nil {
		err = t.demote(ctx, swaps)
	}
	if err == nil {
		err = t.promote(ctx, swaps)
	}
	return err
}

// demote makes the last of the enforced bans wait.
func (t *transaction) demote(ctx context.Context, count int64) error {
	if count <= 0 {
		return nil
	}
	demoted, err := rowsAffected(t.tx.ExecContext(ctx, queryDemote, t.now, count))
	t.waiting += demoted
	t.pending = t.pending || demoted > 0
	return err
}

// promote enforces the first of the bans that wait.
func (t *transaction) promote(ctx context.Context, count int64) error {
	if count <= 0 || t.waiting == 0 {
		return nil
	}
	promoted, err := rowsAffected(t.tx.ExecContext(ctx, queryPromote, t.number, t.now, count))
	t.waiting -= promoted
	t.recorded.Added += int(promoted)
	t.pending = t.pending || promoted > 0
	return err
}

// swaps returns how many bans that wait go before an enforced one. They are no more than the waiting bans that came forward
// by this change, and the enforced ones that went back.
func (t *transaction) swaps(ctx context.Context) (count int64, err error) {
	entered := t.swapsMax
	t.swapsMax = 0
	if entered == 0 || t.waiting == 0 {
		return 0, nil
	}
	first, err := t.places(ctx, queryFirst, entered)
	if err != nil {
		return 0, err
	}
	last, err := t.places(ctx, queryLast, entered)
	if err != nil {
		return 0, err
	}
	for i := range min(len(first), len(last)) {
		if !first[i].isBefore(last[i]) {
			break
		}
		count++
	}
	return count, nil
}

// place is the place of a ban in line.
type place struct {
	class  ban.Class
	newest int64
}

func (p place) isBefore(other place) bool {
	return p.class < other.class || p.class == other.class && p.newest > other.newest
}

func (t *transaction) places(ctx context.Context, text string, count int64) (all []place, err error) {
	err = query(ctx, t.tx, func(rows *sql.Rows) error {
		var p place
		err := rows.Scan(&p.class, &p.newest)
		all = append(all, p)
		return err
	}, text, t.now, count)
	return all, err
}

// ApplyLimit removes decisions that are over, so that each ban has the class of those that remain. Then it applies the limit
// again: bans wait or are enforced. A flush calls it before it plans.
func (l *Ledger) ApplyLimit(ctx context.Context, now time.Time, limit int) error {
	hasEnded := func(d *storedDecision) bool { return d.until <= now.UnixMilli() }
	_, err := l.removeEach(ctx, hasEnded, now, limit, queryExpired, now.UnixMilli())
	if err == nil {
		err = l.chooseWaiting(ctx, now, limit)
	}
	return l.explain(err, "choose which bans to enforce")
}

func (l *Ledger) chooseWaiting(ctx context.Context, now time.Time, limit int) error {
	waiting := false
	if err := l.db.QueryRowContext(ctx, "SELECT waiting > 0 OR bans > ? FROM flushing", limit).Scan(&waiting); err != nil || !waiting {
		return err
	}
	_, err := l.transact(ctx, now, limit, func(*transaction) error { return nil })
	return err
}
