package ledger

import (
	"context"
	"database/sql"
	"time"
)

// LocalAPI says when the Local API was last read, and why it cannot be read now.
type LocalAPI struct {
	LastRead     time.Time // zero: never
	FailingSince time.Time // zero: it can be read
	Error        string
}

func readLocalAPI(ctx context.Context, tx *sql.Tx, number int64) (a LocalAPI, err error) {
	err = tx.QueryRowContext(ctx, "SELECT last_read, failing_since, error FROM local_api WHERE machine = ?", number).
		Scan(scanInto(&a.LastRead), scanInto(&a.FailingSince), &a.Error)
	return a, ignoreNoRows(err)
}

// RecordRead records that the Local API was read.
func (l *Ledger) RecordRead(ctx context.Context, now time.Time) error {
	err := l.exec(ctx, "UPDATE local_api SET last_read = ?3, failing_since = 0, error = '' WHERE machine = ?4 AND NOT "+queryTaken,
		l.name, l.identity, now.UnixMilli(), l.number())
	return l.explain(err, "record that the Local API was read")
}

// RecordReadFailure records why the Local API could not be read. It ends no ban.
func (l *Ledger) RecordReadFailure(ctx context.Context, why string, now time.Time) error {
	err := l.exec(ctx, `UPDATE local_api SET failing_since = CASE failing_since WHEN 0 THEN ?3 ELSE failing_since END, error = ?4
		WHERE machine = ?5 AND NOT `+queryTaken, l.name, l.identity, now.UnixMilli(), why, l.number())
	return l.explain(err, "record why the Local API cannot be read")
}
