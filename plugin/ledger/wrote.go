package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"
)

// Outcome is what the appliance acknowledged of a plan.
type Outcome struct {
	Blocked       []Entry
	Unblocked     []netip.Prefix
	Filed         bool      // the files list Plan.Standing and nothing else of ours
	Asserted      time.Time // all of Plan.Standing was put on the blacklist; zero: not
	AssertedUntil time.Time
	At            time.Time // when the flush ended well; zero: it failed
}

// Entry is one entry of the appliance's blacklist.
type Entry struct {
	Prefix  netip.Prefix
	Expires time.Time
}

// chunk is how many rows one transaction changes: Record must not wait long.
const chunk = 1000

// tried stands in ban.expires for an entry that the appliance was about to be
// asked for, and that it did not acknowledge: there may be one.
const tried = 1

// Trying writes down, before the appliance is told, which entries it may have
// from now on, so that one which a crash left unacknowledged is taken off in
// the end. Those that are too many to name go by group, and then the files name
// them first; that is note enough.
func (l *Ledger) Trying(ctx context.Context, p Plan) error {
	if len(p.Block) == 0 || len(p.Block) < p.Blocks {
		return nil
	}
	err := l.write(ctx, func(tx *sql.Tx) error {
		for _, b := range p.Block {
			if _, err := tx.ExecContext(ctx, "UPDATE ban SET expires = ? WHERE prefix = ? AND expires = 0", tried, b.Prefix.String()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record what the appliance is about to be told in %s: %w", l.path, err)
	}
	return nil
}

// Wrote writes down what the appliance acknowledged. What was recorded since
// the plan was made is left as owed.
func (l *Ledger) Wrote(ctx context.Context, p Plan, o Outcome) error {
	if err := l.wrote(ctx, p, o); err != nil {
		return fmt.Errorf("record what the appliance acknowledged in %s: %w", l.path, err)
	}
	return nil
}

func (l *Ledger) wrote(ctx context.Context, p Plan, o Outcome) error {
	flush := int64(0)
	err := l.write(ctx, func(tx *sql.Tx) (err error) {
		flush, err = number(fact(ctx, tx, factFlushes))
		flush++
		if err != nil {
			return err
		}
		facts := map[string]int64{factFlushes: flush}
		if !o.At.IsZero() {
			facts[factFlushed] = o.At.UnixMilli()
		}
		return setFacts(ctx, tx, facts)
	})
	if err != nil {
		return err
	}
	err = inChunks(ctx, l, o.Blocked, func(tx *sql.Tx, e Entry) error {
		_, err := tx.ExecContext(ctx, "UPDATE ban SET expires = ? WHERE prefix = ?", milliseconds(e.Expires), e.Prefix.String())
		return err
	})
	if err != nil {
		return err
	}
	if err := l.off(ctx, p, o.Unblocked); err != nil {
		return err
	}
	asserted := !o.Asserted.IsZero()
	if o.Filed || asserted {
		if err := l.filed(ctx, p, flush); err != nil {
			return err
		}
	}
	if asserted {
		err := l.write(ctx, func(tx *sql.Tx) error {
			return setFacts(ctx, tx, map[string]int64{factAsserted: milliseconds(o.Asserted),
				factAssertedFlush: flush, factAssertedUntil: milliseconds(o.AssertedUntil)})
		})
		if err != nil {
			return err
		}
	}
	return l.forget(ctx, p, o.Filed)
}

// off takes note that ended bans are off the blacklist, unless they were
// recorded anew since the plan.
func (l *Ledger) off(ctx context.Context, p Plan, off []netip.Prefix) error {
	return inChunks(ctx, l, off, func(tx *sql.Tx, prefix netip.Prefix) error {
		_, err := tx.ExecContext(ctx, "UPDATE ban SET written = ?, expires = 0 WHERE prefix = ? AND until <= ? AND recorded <= ?",
			unblocked, prefix.String(), p.now, p.change)
		return err
	})
}

// filed takes note that a flush wrote what stood when the plan was made.
func (l *Ledger) filed(ctx context.Context, p Plan, flush int64) error {
	for {
		var n int64
		err := l.write(ctx, func(tx *sql.Tx) (err error) {
			n, err = affected(tx.ExecContext(ctx, `UPDATE ban SET written = ? WHERE prefix IN (
				SELECT prefix FROM ban WHERE written = 0 AND until > ? AND recorded <= ? LIMIT ?)`, flush, p.now, p.change, chunk))
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// Tidy drops what a plan found stale.
func (l *Ledger) Tidy(ctx context.Context, p Plan) error {
	if err := l.forget(ctx, p, false); err != nil {
		return fmt.Errorf("tidy up %s: %w", l.path, err)
	}
	return nil
}

// forget drops the rows that nothing is owed for any more: bans that ended
// before any flush, and those that are off blacklist and files.
func (l *Ledger) forget(ctx context.Context, p Plan, filed bool) error {
	gone := "written = 0 AND expires = 0"
	if filed {
		gone = "(written = -1 OR " + gone + ")"
	}
	for {
		var over []netip.Prefix
		err := l.write(ctx, func(tx *sql.Tx) (err error) {
			over, err = prefixes(tx.QueryContext(ctx, "SELECT prefix FROM ban WHERE until <= ? AND recorded <= ? AND "+gone+" LIMIT ?",
				p.now, p.change, chunk))
			if err != nil || len(over) == 0 {
				return err
			}
			return drop(ctx, tx, over)
		})
		if err != nil || len(over) < chunk {
			return err
		}
	}
}

// drop deletes bans and their decisions.
func drop(ctx context.Context, tx *sql.Tx, over []netip.Prefix) error {
	for _, text := range []string{"DELETE FROM ban WHERE prefix = ?", "DELETE FROM decision WHERE prefix = ?"} {
		statement, err := tx.PrepareContext(ctx, text) //nolint:sqlclosecheck // the end of the transaction closes it
		if err != nil {
			return err
		}
		for _, prefix := range over {
			if _, err := statement.ExecContext(ctx, prefix.String()); err != nil {
				return err
			}
		}
	}
	rows, err := number(fact(ctx, tx, factRows))
	if err != nil {
		return err
	}
	return setFacts(ctx, tx, map[string]int64{factRows: rows - int64(len(over))})
}

func inChunks[T any](ctx context.Context, l *Ledger, items []T, do func(*sql.Tx, T) error) error {
	for len(items) > 0 {
		n := min(len(items), chunk)
		err := l.write(ctx, func(tx *sql.Tx) error {
			for _, item := range items[:n] {
				if err := do(tx, item); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
