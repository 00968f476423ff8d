package ledger

import (
	"context"
	"database/sql"
)

// RequestFlush asks the holder of the lease for a flush at once that blocks everything in force again. It returns the number
// of the request. When that flush has ended well, [Status.Answered] reaches the number. When it has failed, [Trouble.Request] does.
func (l *Ledger) RequestFlush(ctx context.Context) (request int64, err error) {
	err = l.write(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "UPDATE flushing SET requested = requested + 1 RETURNING requested").Scan(&request)
	})
	return request, l.explain(err, "ask for a flush")
}

// Changes holds the numbers of the last change to the bans and of the last request for a flush.
type Changes struct {
	Change  int64
	Own     bool // this [Ledger] made that change
	Request int64
}

// Changes returns the last change and the last request, of all processes.
func (l *Ledger) Changes(ctx context.Context) (Changes, error) {
	var c Changes
	err := l.db.QueryRowContext(ctx, "SELECT changes, requested FROM flushing").Scan(&c.Change, &c.Request)
	c.Own = c.Change <= l.own.Load()
	return c, l.explain(err, "look for changes")
}
