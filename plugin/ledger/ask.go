package ledger

import (
	"context"
	"database/sql"
)

// RequestFlush asks the holder of the lease for a flush at once that blocks everything in force again. It returns the number of the
// request. [Status.Answered] reaches that number when the flush ended well, and [Trouble.Request] when it failed.
func (l *Ledger) RequestFlush(ctx context.Context) (request int64, err error) {
	err = l.write(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "UPDATE flushing SET asked = asked + 1 RETURNING asked").Scan(&request)
	})
	return request, l.explain(err, "ask for a flush")
}

// Changes holds the number of the last change, and of the last request for a flush.
type Changes struct {
	Change  int64
	Own     bool // this [Ledger] made that change
	Request int64
}

// Changes looks whether other processes recorded something or asked for a flush.
func (l *Ledger) Changes(ctx context.Context) (Changes, error) {
	var n Changes
	err := l.db.QueryRowContext(ctx, "SELECT changes, asked FROM flushing").Scan(&n.Change, &n.Request)
	n.Own = n.Change <= l.own.Load()
	return n, l.explain(err, "look for news")
}
