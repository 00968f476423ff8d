package ledger

import (
	"context"
	"database/sql"
	"time"
)

// LocalAPI says when the Local API was last read, and why it cannot be read now.
type LocalAPI struct {
	LastRead     time.Time // when it was last read; zero: never
	FailingSince time.Time // since when it cannot be read; zero: it can be read
	Error        string
}

func readFollowing(ctx context.Context, tx *sql.Tx) (f LocalAPI, err error) {
	err = tx.QueryRowContext(ctx, "SELECT read, failed, why FROM following").Scan(into(&f.LastRead), into(&f.FailingSince), &f.Error)
	return f, err
}

// RecordRead records that the Local API was read.
func (l *Ledger) RecordRead(ctx context.Context, now time.Time) error {
	return l.explain(l.exec(ctx, "UPDATE following SET read = ?, failed = 0, why = ''", now.UnixMilli()), "record that the Local API was read")
}

// RecordReadFailure records why the Local API could not be read. No ban ends by that.
func (l *Ledger) RecordReadFailure(ctx context.Context, why string, now time.Time) error {
	err := l.exec(ctx, "UPDATE following SET failed = CASE failed WHEN 0 THEN ?1 ELSE failed END, why = ?2", now.UnixMilli(), why)
	return l.explain(err, "record why the Local API cannot be read")
}
