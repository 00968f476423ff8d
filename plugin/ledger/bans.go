package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"
)

// Ban is a ban in force, as people look at it.
type Ban struct {
	Prefix   netip.Prefix
	Until    time.Time
	Origin   string // of the decision that ends last
	Scenario string
	Blocked  bool // the appliance acknowledged it
}

// EachBan calls do for the bans in force, the soonest to end first, and ends
// with its error.
func (l *Ledger) EachBan(ctx context.Context, now time.Time, do func(Ban) error) error {
	rows, err := l.db.QueryContext(ctx, `SELECT prefix, until, origin, scenario, written > 0 OR expires > ?1
		FROM ban WHERE until > ?1 ORDER BY until, prefix`, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("list the bans in %s: %w", l.path, err)
	}
	defer rows.Close()
	for rows.Next() {
		var b Ban
		var prefix string
		var until int64
		if err := rows.Scan(&prefix, &until, &b.Origin, &b.Scenario, &b.Blocked); err != nil {
			return fmt.Errorf("list the bans in %s: %w", l.path, err)
		}
		if b.Prefix, err = netip.ParsePrefix(prefix); err != nil {
			return fmt.Errorf("list the bans in %s: %w", l.path, err)
		}
		b.Until = moment(until)
		if err := do(b); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list the bans in %s: %w", l.path, err)
	}
	return nil
}

// Ends returns the ends of those bans in force whose prefixes are given.
func (l *Ledger) Ends(ctx context.Context, some []netip.Prefix, now time.Time) (map[netip.Prefix]time.Time, error) {
	ends := map[netip.Prefix]time.Time{}
	err := l.read(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(p netip.Prefix, until, _ int64) { ends[p] = moment(until) },
			"SELECT prefix, until, 0 FROM ban WHERE +until > ? AND prefix IN (SELECT value FROM json_each(?))", now.UnixMilli(), list(some))
	})
	if err != nil {
		return nil, fmt.Errorf("look for bans in %s: %w", l.path, err)
	}
	return ends, nil
}

// End ends the bans of prefixes, and returns how many were in force. The next flush
// unblocks them.
func (l *Ledger) End(ctx context.Context, prefixes []netip.Prefix, now time.Time) (int, error) {
	ended, err := l.end(ctx, prefixes, now)
	if err != nil {
		return 0, fmt.Errorf("end %d bans in %s: %w", len(prefixes), l.path, err)
	}
	return int(ended), nil
}

// end ends bans, and says so to other processes.
func (l *Ledger) end(ctx context.Context, ended []netip.Prefix, now time.Time) (n int64, err error) {
	err = l.write(ctx, func(tx *sql.Tx) (err error) {
		n, err = affected(tx.ExecContext(ctx, "UPDATE ban SET until = ?1 WHERE until > ?1 AND prefix IN (SELECT value FROM json_each(?2))",
			now.UnixMilli(), list(ended)))
		if err != nil {
			return err
		}
		return l.bump(ctx, tx, int(n))
	})
	return n, err
}
