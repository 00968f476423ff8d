package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Who goes first when bans are too many. What is local is written out in them:
// that is how SQLite finds the index of lists.
const (
	evictLists = `UPDATE ban SET until = ?1 WHERE prefix IN
		(SELECT prefix FROM ban WHERE local = 0 AND until > ?1 ORDER BY until LIMIT ?2)`
	evictAny = `UPDATE ban SET until = ?1 WHERE prefix IN
		(SELECT prefix FROM ban WHERE until > ?1 ORDER BY until LIMIT ?2)`
)

// evict ends the bans that are too many.
func (r *recorder) evict(ctx context.Context, limit int) error {
	if r.rows <= int64(limit) {
		return nil
	}
	ended, err := ended(ctx, r.tx, r.now)
	if err != nil {
		return err
	}
	excess := r.rows - ended - int64(limit)
	for _, query := range []string{evictLists, evictAny} {
		if excess <= 0 {
			return nil
		}
		gone, err := affected(r.tx.ExecContext(ctx, query, r.now, excess))
		if err != nil {
			return err
		}
		r.recorded.Evicted += int(gone)
		r.left += gone
		excess -= gone
	}
	return nil
}

// LeftOut tells how many bans were left out or evicted since the Local API's list
// was last read whole, and, if there are any, how many there is room for by now.
func (l *Ledger) LeftOut(ctx context.Context, now time.Time, limit int) (left, room int, err error) {
	err = l.read(ctx, func(tx *sql.Tx) error {
		n, err := number(fact(ctx, tx, factLeftOut))
		if err != nil || n == 0 {
			return err
		}
		rows, err := number(fact(ctx, tx, factRows))
		if err != nil {
			return err
		}
		ended, err := ended(ctx, tx, now.UnixMilli())
		left, room = int(n), max(limit-int(rows-ended), 0)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("look for room in %s: %w", l.path, err)
	}
	return left, room, nil
}

// ended counts the rows of bans that are over.
func ended(ctx context.Context, tx *sql.Tx, now int64) (n int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM ban WHERE until <= ?", now).Scan(&n)
	return n, err
}
