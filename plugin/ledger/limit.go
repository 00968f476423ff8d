package ledger

import (
	"context"
	"database/sql"
	"time"

	"notification-stormshield/plugin/ban"
)

// WaitingHint is what the administrator can do about bans that wait.
const WaitingHint = "set decisions.max_bans higher in the notification's YAML, if the appliance can hold that many, and reload CrowdSec"

// The queries that decide which bans wait. Each reads one end of an index.
const (
	queryEndedCount = "SELECT COUNT(*) FROM ban WHERE until > 0 AND until <= ?1"

	queryFirstWaiting = "SELECT class, newest FROM ban WHERE until = 0 AND ends > ?1 ORDER BY class, newest DESC LIMIT ?2"
	queryLastEnforced = "SELECT class, newest FROM ban WHERE until > 0 AND until > ?1 ORDER BY class DESC, newest LIMIT ?2"

	// queryDemote makes the last enforced bans wait: those of the last class, and of these the oldest.
	queryDemote = `UPDATE ban SET until = 0, next = CASE next WHEN 0 THEN ends ELSE next END, pending_since = ?1, look = ?3
		WHERE id IN (SELECT id FROM ban WHERE until > 0 AND until > ?1 ORDER BY class DESC, newest LIMIT ?2)`

	// queryPromote enforces the first waiting bans. The appliance may still have their entries; see makePending.
	queryPromote = `UPDATE ban SET until = ends, change = ?1, pending_since = ?2, look = ?4,
		expires = CASE WHEN written <> 0 OR expires <> 0 THEN 1 ELSE 0 END, written = CASE WHEN written <> 0 THEN -1 ELSE 0 END
		WHERE id IN (SELECT id FROM ban WHERE until = 0 AND ends > ?2 ORDER BY class, newest DESC LIMIT ?3)`

	// queryExpired selects the bans with a decision that has ended, except bans that have ended and will be deleted.
	queryExpired = "SELECT prefix FROM ban WHERE next > 0 AND next <= ?1 AND (until = 0 OR ends > ?1)"
)

// ApplyLimit removes decisions that have ended, so that each ban has the class of those that remain. Then it decides again which
// bans wait. A flush calls it before it plans.
func (l *Ledger) ApplyLimit(ctx context.Context, now time.Time, limit int) error {
	removeEnded := func(b *storedBan) { b.remove(func(d *storedDecision) bool { return d.until <= now.UnixMilli() }) }
	var haveEnded, mayChange bool
	err := l.db.QueryRowContext(ctx, "SELECT EXISTS ("+queryExpired+"), SUM(waiting) > 0 OR SUM(enforced) > ?2 FROM tally", now.UnixMilli(), limit).
		Scan(&haveEnded, &mayChange)
	if err == nil && haveEnded {
		_, err = l.changeEach(ctx, removeEnded, now, limit, queryExpired, now.UnixMilli())
	}
	if err == nil && mayChange {
		_, err = l.transact(ctx, now, limit, func(*transaction) error { return nil })
	}
	return l.explain(err, "choose which bans to enforce")
}

// applyLimit keeps the number of enforced bans at the limit. Afterwards every waiting ban comes after every enforced one: its
// class is worse, or its class is the same and its newest decision is older.
func (t *transaction) applyLimit(ctx context.Context, limit int) error {
	if added := t.nextBan - t.firstBan; !t.hasWaiting && t.enforced+added <= int64(limit) {
		return nil
	}
	var enforced, waiting, ended int64
	if err := t.tx.QueryRowContext(ctx, "SELECT CAST(SUM(enforced) AS BIGINT), CAST(SUM(waiting) AS BIGINT) FROM tally").Scan(&enforced, &waiting); err != nil {
		return err
	}
	if waiting == 0 && enforced <= int64(limit) {
		return nil
	}
	if err := t.tx.QueryRowContext(ctx, queryEndedCount, t.now).Scan(&ended); err != nil {
		return err
	}
	room := int64(limit) - (enforced - ended)
	if err := t.demote(ctx, -room); err != nil {
		return err
	}
	if err := t.promote(ctx, room); err != nil {
		return err
	}
	swaps, err := t.countSwaps(ctx)
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
	demoted, err := rowsAffected(t.tx.ExecContext(ctx, queryDemote, t.now, count, t.flush))
	t.changed = t.changed || demoted > 0
	return err
}

// promote enforces the first of the waiting bans.
func (t *transaction) promote(ctx context.Context, count int64) error {
	if count <= 0 {
		return nil
	}
	promoted, err := rowsAffected(t.tx.ExecContext(ctx, queryPromote, t.number, t.now, count, t.flush))
	t.recorded.Added += int(promoted)
	t.changed = t.changed || promoted > 0
	return err
}

// countSwaps returns how many waiting bans go before an enforced one. They are at most t.overtaking.
func (t *transaction) countSwaps(ctx context.Context) (count int64, err error) {
	most := t.overtaking
	t.overtaking = 0
	if most == 0 {
		return 0, nil
	}
	waiting, err := t.ranks(ctx, queryFirstWaiting, most)
	if err != nil {
		return 0, err
	}
	enforced, err := t.ranks(ctx, queryLastEnforced, most)
	if err != nil {
		return 0, err
	}
	for i := range min(len(waiting), len(enforced)) {
		if !waiting[i].isBefore(enforced[i]) {
			break
		}
		count++
	}
	return count, nil
}

// rank orders the bans: the best class first, and within a class the newest decision.
type rank struct {
	class  ban.Class
	newest int64
}

func (r rank) isBefore(other rank) bool {
	return r.class < other.class || r.class == other.class && r.newest > other.newest
}

func (t *transaction) ranks(ctx context.Context, text string, count int64) (all []rank, err error) {
	err = query(ctx, t.tx, func(rows *sql.Rows) error {
		var r rank
		err := rows.Scan(&r.class, &r.newest)
		all = append(all, r)
		return err
	}, text, t.now, count)
	return all, err
}
