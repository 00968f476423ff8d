package ledger

import (
	"context"
	"database/sql"
	"time"
)

// Part is what failed: a whole flush, or only the appliance's files. Each has a trouble of its own.
type Part int

const (
	// WholeFlush has a trouble until a flush ends well without a warning. A failure also ends when nothing is pending any more.
	WholeFlush Part = iota
	// Files have a trouble until a flush compares the appliance's files without a warning. A failure also ends when nothing needs the
	// files.
	Files
)

// Trouble is the failure of a [Part], or the warning of flushes that end well.
type Trouble struct {
	Text    string    // of the last failure or warning; "": there is none
	Since   time.Time // the first failure
	Last    time.Time // the last one
	Count   int       // of failures in a row
	Warning bool      // flushes end well, and all bans are enforced
	Request int64     // the last request for a flush when the failed flush began; see RequestFlush
}

func readTrouble(ctx context.Context, tx *sql.Tx, part Part) (t Trouble, err error) {
	err = tx.QueryRowContext(ctx, "SELECT text, since, last, count, warning, request FROM trouble WHERE part = ?", part).
		Scan(&t.Text, scanInto(&t.Since), scanInto(&t.Last), &t.Count, &t.Warning, &t.Request)
	return t, err
}

// RecordFailure records why a flush or its files failed, in a text for people. request is the last request for a flush when this one began.
func (l *Ledger) RecordFailure(ctx context.Context, part Part, text string, request int64, now time.Time) error {
	return l.recordTrouble(ctx, part, text, false, request, now)
}

// RecordWarning records the warning of a flush that ended well, in a text for people.
func (l *Ledger) RecordWarning(ctx context.Context, part Part, text string, now time.Time) error {
	return l.recordTrouble(ctx, part, text, true, 0, now)
}

// recordTrouble stores a trouble and counts it. A failure after a warning begins a new trouble, and so does a warning after a
// failure.
func (l *Ledger) recordTrouble(ctx context.Context, part Part, text string, warning bool, request int64, now time.Time) error {
	err := l.execAsHolder(ctx, `UPDATE trouble SET text = ?1, since = CASE WHEN count = 0 OR warning <> ?3 THEN ?2 ELSE since END,
		last = ?2, count = CASE WHEN warning <> ?3 THEN 1 ELSE count + 1 END, warning = ?3, request = CASE ?3 WHEN 1 THEN request ELSE ?4 END
		WHERE part = ?5`, text, now.UnixMilli(), oneIf(warning), request, part)
	return l.explain(err, "record the trouble")
}

// queryEndTrouble records that nothing is wrong with a part any more.
const queryEndTrouble = "UPDATE trouble SET text = '', since = 0, last = 0, count = 0, warning = 0, request = 0 WHERE count > 0 AND part = ?"
