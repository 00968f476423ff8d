package ledger

import (
	"context"
	"database/sql"
	"fmt"
)

const (
	factAsked    = "asked"    // number of the last flush that somebody asked for
	factAnswered = "answered" // the last of these that went well
)

// Ask asks whoever holds the lease for a flush at once, in which everything in
// force is blocked anew. It returns the number of the request, which
// [Status.Answered] reaches when that flush went well, and [Trouble.Request] when
// it failed.
func (l *Ledger) Ask(ctx context.Context) (request int64, err error) {
	err = l.write(ctx, func(tx *sql.Tx) (err error) {
		if request, err = number(fact(ctx, tx, factAsked)); err != nil {
			return err
		}
		request++
		return setFacts(ctx, tx, map[string]int64{factAsked: request})
	})
	if err != nil {
		return 0, fmt.Errorf("ask for a flush in %s: %w", l.path, err)
	}
	return request, nil
}

// News is what other processes may have brought: the numbers of the last change
// and of the last request for a flush.
type News struct {
	Change  int64
	Own     bool // that change was made by way of this [Ledger]
	Request int64
}

// News reads them.
func (l *Ledger) News(ctx context.Context) (News, error) {
	var n News
	err := l.read(ctx, func(tx *sql.Tx) (err error) {
		if n.Change, err = number(fact(ctx, tx, factChanges)); err != nil {
			return err
		}
		n.Own = n.Change <= l.own.Load()
		n.Request, err = number(fact(ctx, tx, factAsked))
		return err
	})
	if err != nil {
		return News{}, fmt.Errorf("look for news in %s: %w", l.path, err)
	}
	return n, nil
}
