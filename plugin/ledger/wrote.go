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
	Blocked   []Entry
	Unblocked []netip.Prefix
	Listed    bool   // the files list every ban that was in force when the plan was made
	Cleared   bool   // the files name nothing that had ended by then
	Mark      string // what the files are now; "": not known. Plan.Mark if they were left as they are

	// Confirmed is when everything in force was put on the blacklist, by the
	// group or one by one; zero: it was not.
	Confirmed time.Time
	// Asserted is when it was by the group, which then lists it all: Listed and
	// Confirmed follow from it. Zero: it was not.
	Asserted      time.Time
	AssertedUntil time.Time

	At time.Time // when the flush ended well; zero: it failed
	// Refused are bans that the appliance did not take, of a flush that ended
	// well but for them: they stay pending.
	Refused []netip.Prefix
	// Warned says that the flush succeeded with a warning. The trouble goes on.
	Warned bool
	// Unfinished says that the flush succeeded and left something to the next one. A
	// command that asked for a flush waits on.
	Unfinished bool

	Serial        string // the appliance's serial number; "": it was not asked, or has none
	OldGroupsGone bool   // the files hold nothing of ours in Plan.Target.OldGroups any more
}

// Entry is one entry of the appliance's blacklist.
type Entry struct {
	Prefix  netip.Prefix
	Expires time.Time
}

// chunk is how many rows one transaction changes: Record must not wait long.
const chunk = 1000

const (
	// tried stands in ban.expires for an entry that the appliance was about to
	// be asked for, and that it did not acknowledge: there may be one.
	tried = 1
	// uncertain stands in ban.written for what may be in the files.
	uncertain = -1
)

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
// the plan was made stays pending.
func (l *Ledger) Wrote(ctx context.Context, p Plan, o Outcome) error {
	if !o.Asserted.IsZero() {
		o.Listed = true
		if o.Confirmed.IsZero() {
			o.Confirmed = o.Asserted
		}
	}
	if err := l.wrote(ctx, p, o); err != nil {
		return fmt.Errorf("record what the appliance acknowledged in %s: %w", l.path, err)
	}
	return nil
}

// wrote needs several transactions, and may be cut off between any two: no
// mark stands from before the rows change until after, unless the files are the
// ones that it told of all along.
func (l *Ledger) wrote(ctx context.Context, p Plan, o Outcome) error {
	flush, err := l.beginWrote(ctx, p, o)
	if err != nil {
		return err
	}
	err = inChunks(ctx, l, o.Blocked, func(tx *sql.Tx, blocked []Entry) error {
		for _, e := range blocked {
			if _, err := tx.ExecContext(ctx, "UPDATE ban SET expires = ? WHERE prefix = ?", milliseconds(e.Expires), e.Prefix.String()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := l.off(ctx, o.Unblocked); err != nil {
		return err
	}
	if o.Listed {
		if err := l.listed(ctx, p, flush); err != nil {
			return err
		}
	}
	if err := l.off(ctx, o.Refused); err != nil { // whatever their group was said to be
		return err
	}
	if err := l.forget(ctx, p, o.Cleared); err != nil {
		return err
	}
	return l.endWrote(ctx, p, o, flush)
}

// beginWrote numbers the flush, and takes a mark back that does not stand any
// more.
func (l *Ledger) beginWrote(ctx context.Context, p Plan, o Outcome) (flush int64, err error) {
	err = l.write(ctx, func(tx *sql.Tx) (err error) {
		if flush, err = number(fact(ctx, tx, factFlushes)); err != nil {
			return err
		}
		flush++
		if o.Mark != p.Mark {
			if err := setFact(ctx, tx, factMark, ""); err != nil {
				return err
			}
		}
		facts := map[string]int64{factFlushes: flush}
		if !o.At.IsZero() {
			facts[factFlushed] = o.At.UnixMilli()
		}
		if !o.At.IsZero() && !o.Warned {
			if err := over(ctx, tx); err != nil {
				return err
			}
		}
		return setFacts(ctx, tx, facts)
	})
	return flush, err
}

// endWrote stores what holds only once all rows say so.
func (l *Ledger) endWrote(ctx context.Context, p Plan, o Outcome, flush int64) error {
	facts := map[string]int64{}
	if !o.Confirmed.IsZero() {
		facts[factConfirmed] = o.Confirmed.UnixMilli()
	}
	if !o.Asserted.IsZero() {
		facts[factAsserted], facts[factAssertedFlush] = o.Asserted.UnixMilli(), flush
		facts[factAssertedUntil] = milliseconds(o.AssertedUntil)
	}
	if p.Asked && !o.At.IsZero() && !o.Unfinished {
		facts[factAnswered] = p.asked
	}
	if len(facts) == 0 && o.Mark == p.Mark && !o.settles(p.Target) {
		return nil
	}
	return l.write(ctx, func(tx *sql.Tx) error {
		if err := setFacts(ctx, tx, facts); err != nil {
			return err
		}
		if o.settles(p.Target) {
			if err := o.settle(ctx, tx, p.Target); err != nil {
				return err
			}
		}
		return setFact(ctx, tx, factMark, o.Mark)
	})
}

// off takes note of what is off the blacklist, and in the files at most as long
// as it was before. A ban that was recorded anew since the plan, or extended at
// the last moment, needs another entry.
func (l *Ledger) off(ctx context.Context, off []netip.Prefix) error {
	return inChunks(ctx, l, off, func(tx *sql.Tx, off []netip.Prefix) error {
		_, err := tx.ExecContext(ctx, `UPDATE ban SET written = CASE written WHEN 0 THEN 0 ELSE ? END, expires = 0
			WHERE prefix IN (SELECT value FROM json_each(?))`, uncertain, list(off))
		return err
	})
}

// listed takes note that the files list what the plan wanted in them, and by
// which flush. A ban that ended meanwhile is in them too; one that was recorded
// anew meanwhile is another.
func (l *Ledger) listed(ctx context.Context, p Plan, flush int64) error {
	return inChunks(ctx, l, p.Add, func(tx *sql.Tx, added []netip.Prefix) error {
		_, err := tx.ExecContext(ctx, `UPDATE ban SET written = ?
			WHERE prefix IN (SELECT value FROM json_each(?)) AND written <= 0 AND recorded <= ?`, flush, list(added), p.change)
		return err
	})
}

// list makes of prefixes one parameter for a query.
func list(prefixes []netip.Prefix) string {
	text := make([]byte, 0, len(prefixes)*len(`"203.0.113.255/32",`))
	separator := byte('[')
	for _, p := range prefixes {
		text = append(text, separator, '"')
		text = append(p.AppendTo(text), '"')
		separator = ','
	}
	return string(append(text, ']'))
}

// Tidy drops what a plan found stale, when nothing is pending.
func (l *Ledger) Tidy(ctx context.Context, p Plan) error {
	err := l.forget(ctx, p, false)
	if err == nil {
		err = l.write(ctx, func(tx *sql.Tx) error {
			facts, err := allFacts(ctx, tx)
			if err != nil || facts.trouble().Warning {
				return err
			}
			return over(ctx, tx)
		})
	}
	if err != nil {
		return fmt.Errorf("tidy up %s: %w", l.path, err)
	}
	return nil
}

// queryForget goes through what has ended; the + keeps SQLite from going through
// all that is not in the files.
const queryForget = `DELETE FROM ban WHERE prefix IN (SELECT prefix FROM ban
	WHERE until <= ? AND recorded <= ? AND +written BETWEEN ? AND 0 AND expires = 0 LIMIT ?)`

// forget drops the rows that need nothing more: ended bans that are
// neither on the blacklist nor in the files. cleared says that what had ended
// is not in the files.
func (l *Ledger) forget(ctx context.Context, p Plan, cleared bool) error {
	least := 0
	if cleared {
		least = uncertain
	}
	for {
		var gone int64
		err := l.write(ctx, func(tx *sql.Tx) (err error) {
			gone, err = affected(tx.ExecContext(ctx, queryForget, p.now, p.change, least, chunk))
			if err != nil || gone == 0 {
				return err
			}
			rows, err := number(fact(ctx, tx, factRows))
			if err != nil {
				return err
			}
			return setFacts(ctx, tx, map[string]int64{factRows: rows - gone})
		})
		if err != nil || gone < chunk {
			return err
		}
	}
}

// inChunks works through many items in several transactions.
func inChunks[T any](ctx context.Context, l *Ledger, items []T, do func(*sql.Tx, []T) error) error {
	for len(items) > 0 {
		n := min(len(items), chunk)
		if err := l.write(ctx, func(tx *sql.Tx) error { return do(tx, items[:n]) }); err != nil {
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
