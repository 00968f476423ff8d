package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"notification-stormshield/plugin/ban"
)

// query calls do for each row of a result.
func query(ctx context.Context, from interface {
	QueryContext(ctx context.Context, text string, parameters ...any) (*sql.Rows, error)
}, do func(*sql.Rows) error, text string, parameters ...any) error {
	rows, err := from.QueryContext(ctx, text, parameters...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := do(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// eachPrefix calls do for each row of a result that is a prefix and two numbers.
func eachPrefix(ctx context.Context, tx *sql.Tx, do func(p netip.Prefix, a, b int64), text string, parameters ...any) error {
	var p netip.Prefix
	var a, b int64
	return query(ctx, tx, func(rows *sql.Rows) error {
		err := rows.Scan(scanInto(&p), &a, &b)
		if err == nil {
			do(p, a, b)
		}
		return err
	}, text, parameters...)
}

// prefixes appends the prefixes of a result to some.
func (l *Ledger) prefixes(ctx context.Context, some []netip.Prefix, text string, parameters ...any) ([]netip.Prefix, error) {
	var p netip.Prefix
	err := query(ctx, l.db, func(rows *sql.Rows) error {
		err := rows.Scan(scanInto(&p))
		some = append(some, p)
		return err
	}, text, parameters...)
	return some, err
}

// scanInto returns a scanner that reads a stored value: a prefix is text, a UUID is bytes, and a time is milliseconds since 1970
// (0 is the zero time).
func scanInto(pointer any) sql.Scanner { return column{pointer} }

type column struct{ pointer any }

func (c column) Scan(value any) (err error) {
	switch to := c.pointer.(type) {
	case *netip.Prefix:
		text, _ := value.(string)
		*to, err = netip.ParsePrefix(text)
	case *ban.UUID:
		bytes, _ := value.([]byte)
		*to = ban.UUID{}
		copy(to[:], bytes)
	case *time.Time:
		ms, isNumber := value.(int64)
		if !isNumber {
			return errors.New("a stored time is no number")
		}
		*to = timeOf(ms)
	default:
		err = fmt.Errorf("no %T is stored", to)
	}
	return err
}

// milliseconds returns a time as the ledger stores it.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// timeOf returns a stored time.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// jsonArray returns values as one parameter of a query, for json_each.
func jsonArray[T any](values []T) string {
	if values == nil {
		return "[]" // json.Marshal makes null, which json_each lists as one value
	}
	text, err := json.Marshal(values)
	if err != nil {
		panic(err) // numbers and prefixes always have a text
	}
	return string(text)
}

// statement is a statement with its parameters.
type statement struct {
	text       string
	parameters []any
}

// execEach runs statements.
func execEach(ctx context.Context, tx *sql.Tx, statements ...statement) error {
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s.text, s.parameters...); err != nil {
			return err
		}
	}
	return nil
}

// oneIf returns a truth value as the ledger stores it.
func oneIf(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

func rowsAffected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// ignoreNoRows returns nil for a query without a row.
func ignoreNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
