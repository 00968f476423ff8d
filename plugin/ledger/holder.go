package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// ErrNotHolder says that another machine took over, so that this one may not record what the appliance acknowledged.
var ErrNotHolder = errors.New("another machine has taken over (hint: `status` shows which one)")

// Holder is the machine that took over last.
type Holder struct {
	Machine  string    // "": none did yet
	Term     int64     // how often a machine has taken over
	Released bool      // it handed over
	Since    time.Time // when it took over or, if it handed over, the time of its last beat before that
	// MayBeOld says that the database server started a few seconds ago. It may have come back from a backup, and then a later holder may
	// still flush.
	MayBeOld bool
}

// queryMayBeOld reports whether the database server started less than ten seconds ago.
const queryMayBeOld = "SELECT clock_timestamp() - pg_postmaster_start_time() < INTERVAL '10 seconds'"

// TakeOver makes this machine the holder, and returns the previous holder. From then on no other machine can record what the appliance
// acknowledged. maxBans is the limit of this machine's configuration. It also holds for what other machines record.
func (l *Ledger) TakeOver(ctx context.Context, maxBans int, now time.Time) (before Holder, err error) {
	err = l.writeShared(ctx, func(tx *sql.Tx) error {
		if err := l.checkName(ctx, tx); err != nil {
			return err
		}
		if before, err = readHolder(ctx, tx); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, queryMayBeOld).Scan(&before.MayBeOld); err != nil {
			return err
		}
		return execEach(ctx, tx,
			statement{"UPDATE holder SET machine = ?, term = term + 1, released = 0, since = ?", []any{l.number(), now.UnixMilli()}},
			statement{"UPDATE flushing SET max_bans = ?", []any{maxBans}})
	})
	if err == nil {
		l.term.Store(before.Term + 1)
	}
	return before, l.explain(err, "take over")
}

// HandOver records that this machine no longer flushes, unless another one has taken over.
func (l *Ledger) HandOver(ctx context.Context) error {
	err := l.writeShared(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE holder SET released = 1, since = MAX(since, (SELECT seen FROM machine WHERE number = holder.machine))
			WHERE term = ?`, l.term.Load())
		return err
	})
	if err == nil {
		l.term.Store(0)
	}
	return l.explain(err, "hand over")
}

func readHolder(ctx context.Context, tx *sql.Tx) (h Holder, err error) {
	err = tx.QueryRowContext(ctx, `SELECT COALESCE((SELECT name FROM machine WHERE number = holder.machine), ''), term, released, since
		FROM holder`).Scan(&h.Machine, &h.Term, &h.Released, scanInto(&h.Since))
	return h, err
}

// writeAsHolder runs a transaction that records what belongs to the appliance. On a shared state it fails unless this machine is the one
// that took over last. So a machine that lost the lease without noticing it cannot overwrite what the next holder records.
func (l *Ledger) writeAsHolder(ctx context.Context, do func(tx *sql.Tx) error) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		if l.shared {
			var term int64
			if err := tx.QueryRowContext(ctx, "SELECT term FROM holder").Scan(&term); err != nil {
				return err
			}
			if term != l.term.Load() {
				return ErrNotHolder
			}
		}
		return do(tx)
	})
}

// execAsHolder runs one statement in a transaction of its own; see writeAsHolder.
func (l *Ledger) execAsHolder(ctx context.Context, text string, parameters ...any) error {
	return l.writeAsHolder(ctx, func(tx *sql.Tx) error { return execEach(ctx, tx, statement{text, parameters}) })
}
