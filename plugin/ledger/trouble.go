package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// The facts of a trouble stand while there is one.
const (
	factTrouble        = "trouble"
	factTroubleSince   = "trouble_since"
	factTroubleLast    = "trouble_last"
	factTroubleCount   = "trouble_count"
	factTroubleRequest = "trouble_request"
	factTroubleWarning = "trouble_warning" // 1: Trouble.Warning
)

// Trouble is why flushes fail, or a warning of theirs. It ends with the first flush
// that succeeds without a warning. A failure also ends with the first flush that
// finds nothing to do.
type Trouble struct {
	Text    string    // of the last failure; "": there is none
	Since   time.Time // the first failure
	Last    time.Time // the last one
	Count   int       // of failures in a row
	Warning bool      // flushes succeed, and all bans are enforced
	Request int64     // the last that had been asked for when the flush began that failed last; see Ask
}

// Failed records a flush that failed, for people to read. request is the last
// request before the flush began.
func (l *Ledger) Failed(ctx context.Context, text string, request int64, now time.Time) error {
	return l.trouble(ctx, text, now, map[string]int64{factTroubleWarning: 0, factTroubleRequest: request})
}

// Warned records the warning of a flush that succeeded, for people to read.
func (l *Ledger) Warned(ctx context.Context, text string, now time.Time) error {
	return l.trouble(ctx, text, now, map[string]int64{factTroubleWarning: 1})
}

// trouble counts the trouble, or begins another one if a failure follows a warning
// or a warning follows a failure.
func (l *Ledger) trouble(ctx context.Context, text string, now time.Time, facts map[string]int64) error {
	err := l.write(ctx, func(tx *sql.Tx) error {
		all, err := allFacts(ctx, tx)
		if err != nil {
			return err
		}
		last := all.trouble()
		if last.Warning != (facts[factTroubleWarning] == 1) {
			last = Trouble{}
		}
		if last.Count == 0 {
			facts[factTroubleSince] = now.UnixMilli()
		}
		facts[factTroubleCount], facts[factTroubleLast] = int64(last.Count)+1, now.UnixMilli()
		if err := setFact(ctx, tx, factTrouble, text); err != nil {
			return err
		}
		return setFacts(ctx, tx, facts)
	})
	if err != nil {
		return fmt.Errorf("record the trouble in %s: %w", l.path, err)
	}
	return nil
}

// over takes note that nothing is wrong any more.
func over(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM fact WHERE name IN (?, ?, ?, ?, ?, ?)",
		factTrouble, factTroubleWarning, factTroubleSince, factTroubleLast, factTroubleCount, factTroubleRequest)
	return err
}

func (f facts) trouble() Trouble {
	return Trouble{
		Text: f[factTrouble], Since: f.moment(factTroubleSince), Last: f.moment(factTroubleLast),
		Count: int(f.number(factTroubleCount)), Warning: f.number(factTroubleWarning) == 1, Request: f.number(factTroubleRequest),
	}
}
