package ledger

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"
)

// The facts of a ledger: named values that stand once in it. Those of the
// login hold-off are beside it.
const (
	factChanges       = "changes"        // number of the last change to what must be blocked
	factRows          = "rows"           // how many rows ban has
	factFlushes       = "flushes"        // number of the last flush
	factFlushed       = "flushed"        // when one last went well
	factMark          = "mark"           // what the appliance said its files are; "" or absent: not known
	factConfirmed     = "confirmed"      // when everything was last put on the blacklist
	factAsserted      = "asserted"       // when it was by the group
	factAssertedFlush = "asserted_flush" // the flush that did so
	factAssertedUntil = "asserted_until" // how long those entries live
)

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// fact returns one; "" if it does not stand.
func fact(ctx context.Context, q querier, name string) (string, error) {
	var value string
	err := q.QueryRowContext(ctx, "SELECT value FROM fact WHERE name = ?", name).Scan(&value)
	return value, ignoreNone(err)
}

func ignoreNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// number reads a fact that is one; 0 if it does not stand.
func number(value string, err error) (int64, error) {
	if err != nil || value == "" {
		return 0, err
	}
	return strconv.ParseInt(value, 10, 64)
}

func setFact(ctx context.Context, tx *sql.Tx, name, value string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO fact (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", name, value)
	return err
}

func setFacts(ctx context.Context, tx *sql.Tx, facts map[string]int64) error {
	for name, value := range facts {
		if err := setFact(ctx, tx, name, strconv.FormatInt(value, 10)); err != nil {
			return err
		}
	}
	return nil
}

// facts are all of them, by name.
type facts map[string]string

func allFacts(ctx context.Context, tx *sql.Tx) (facts, error) {
	rows, err := tx.QueryContext(ctx, "SELECT name, value FROM fact")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := facts{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		all[name] = value
	}
	return all, rows.Err()
}

// number returns a fact that is one; 0 if it does not stand, or is none.
func (f facts) number(name string) int64 {
	n, err := strconv.ParseInt(f[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (f facts) moment(name string) time.Time { return moment(f.number(name)) }

// milliseconds is how moments are stored; 0 is none.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
