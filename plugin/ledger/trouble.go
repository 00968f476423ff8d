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
)

// Trouble is why flushes fail. It is over with the first that goes well, and
// with the first that finds nothing to do.
type Trouble struct {
	Text    string    // of the last failure; "": there is none
	Since   time.Time // the first failure
	Last    time.Time // the last one
	Count   int       // of failures in a row
	Request int64     // the last that had been asked for when the flush began that failed last; see Ask
}

// Failed takes note of a flush that failed, for people to read. request is the
// last one that had been asked for when it began.
func (l *Ledger) Failed(ctx context.Context, text string, request int64, now time.Time) error {
	err := l.write(ctx, func(tx *sql.Tx) error {
		count, err := number(fact(ctx, tx, factTroubleCount))
		if err != nil {
			return err
		}
		facts := map[string]int64{factTroubleCount: count + 1, factTroubleLast: now.UnixMilli(), factTroubleRequest: request}
		if count == 0 {
			facts[factTroubleSince] = now.UnixMilli()
		}
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
	_, err := tx.ExecContext(ctx, "DELETE FROM fact WHERE name IN (?, ?, ?, ?, ?)",
		factTrouble, factTroubleSince, factTroubleLast, factTroubleCount, factTroubleRequest)
	return err
}

func (f facts) trouble() Trouble {
	return Trouble{
		Text: f[factTrouble], Since: f.moment(factTroubleSince), Last: f.moment(factTroubleLast),
		Count: int(f.number(factTroubleCount)), Request: f.number(factTroubleRequest),
	}
}
