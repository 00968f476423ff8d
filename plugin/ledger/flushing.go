package ledger

import (
	"context"
	"database/sql"
	"time"
)

// flushing is the row of the table flushing. The schema explains its values.
type flushing struct {
	changes             int64
	bans, waiting       int
	decisions, flushes  int64
	flushed             time.Time
	target              Target
	mark                string
	confirmed, asserted time.Time
	compared            time.Time // zero: never; comparedElsewhere milliseconds: not on this appliance
	assertedFlush       int64
	assertedUntil       time.Time
	settled             int64
	newAfter            int64
	unsure              time.Time
	entries             bool
	stale, activated    time.Time
	requested, answered int64
}

// comparedElsewhere is the value of compared after the appliance or its groups changed. It tells this from a ledger that never compared
// any files, whose first comparison takes over the bans of an earlier installation.
const comparedElsewhere = 1

// flushingColumns are the columns of the table flushing in the order of scanTargets, with the number of all bans and of those that wait.
const flushingColumns = `changes, (SELECT CAST(SUM(enforced + waiting) AS BIGINT) FROM tally), (SELECT CAST(SUM(waiting) AS BIGINT) FROM tally),
	decisions, flushes, flushed, target, mark, confirmed, asserted, asserted_flush, asserted_until, settled, new_after, compared, unsure, entries,
	stale, activated, requested, answered`

// scanTargets returns where to scan flushingColumns.
func (f *flushing) scanTargets() []any {
	return []any{
		&f.changes, &f.bans, &f.waiting, &f.decisions, &f.flushes, scanInto(&f.flushed), &f.target, &f.mark, scanInto(&f.confirmed),
		scanInto(&f.asserted), &f.assertedFlush, scanInto(&f.assertedUntil), &f.settled, &f.newAfter, scanInto(&f.compared), scanInto(&f.unsure),
		&f.entries, scanInto(&f.stale), scanInto(&f.activated), &f.requested, &f.answered,
	}
}

func readFlushing(ctx context.Context, tx *sql.Tx) (f flushing, err error) {
	err = tx.QueryRowContext(ctx, "SELECT "+flushingColumns+" FROM flushing").Scan(f.scanTargets()...)
	return f, err
}

// storeOutcome stores the columns that an outcome may change.
func (f *flushing) storeOutcome(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE flushing SET entries = ?, stale = ?,
		mark = ?, confirmed = ?, asserted = ?, asserted_flush = ?, asserted_until = ?, settled = ?, new_after = ?, compared = ?,
		unsure = ?, answered = ?`,
		oneIf(f.entries), milliseconds(f.stale), f.mark, milliseconds(f.confirmed), milliseconds(f.asserted), f.assertedFlush,
		milliseconds(f.assertedUntil), f.settled, f.newAfter, milliseconds(f.compared), milliseconds(f.unsure), f.answered)
	return err
}

// lastingGroupFlush returns the last flush by group, if its entries last until a time; otherwise 0. The bans that this flush and earlier
// ones wrote to the files need no entries of their own. A ban of a look up to settled is one of them.
func (f flushing) lastingGroupFlush(until time.Time) (flush, settled int64) {
	if f.assertedUntil.Before(until) {
		return 0, 0
	}
	return f.assertedFlush, f.settled
}
