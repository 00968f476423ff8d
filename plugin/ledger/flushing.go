package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// flushing is the one row of the table of that name. The schema says what each value means.
type flushing struct {
	changes             int64
	bans, waiting       int
	flushes             int64
	flushed             time.Time
	target              Target
	mark                string
	confirmed, asserted time.Time
	assertedFlush       int64
	assertedUntil       time.Time
	unsure              time.Time
	asked, answered     int64
}

func readFlushing(ctx context.Context, tx *sql.Tx) (f flushing, err error) {
	err = tx.QueryRowContext(ctx, `SELECT changes, bans, waiting, flushes, flushed, target, mark, confirmed, asserted, asserted_flush, asserted_until,
		unsure, asked, answered FROM flushing`).
		Scan(&f.changes, &f.bans, &f.waiting, &f.flushes, at(&f.flushed), &f.target, &f.mark, at(&f.confirmed), at(&f.asserted), &f.assertedFlush,
			at(&f.assertedUntil), at(&f.unsure), &f.asked, &f.answered)
	return f, err
}

// at returns a scanner for a stored time.
func at(t *time.Time) sql.Scanner { return (*storedTime)(t) }

type storedTime time.Time

// Scan reads milliseconds since 1970; 0 is the zero time.
func (s *storedTime) Scan(value any) error {
	ms, ok := value.(int64)
	if !ok {
		return errors.New("a stored time is no number")
	}
	*s = storedTime(moment(ms))
	return nil
}

// milliseconds returns a time as it is stored; 0: none.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// moment returns a stored time; zero: none.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// ignoreNone returns nil for a query without a row.
func ignoreNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
