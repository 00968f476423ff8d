package ledger

import (
	"context"
	"database/sql"
	"net/netip"
)

func prefixes(rows *sql.Rows, err error) ([]netip.Prefix, error) {
	if err != nil {
		return nil, err
	}
	return appendPrefixes(nil, rows)
}

// appendPrefixes reads rows to their end and closes them.
func appendPrefixes(found []netip.Prefix, rows *sql.Rows) ([]netip.Prefix, error) {
	err := scan(rows, func(p netip.Prefix) { found = append(found, p) })
	return found, err
}

// each calls do with every row of a query for a prefix and two numbers.
func each(ctx context.Context, tx *sql.Tx, do func(p netip.Prefix, a, b int64), query string, parameters ...any) error {
	rows, err := tx.QueryContext(ctx, query, parameters...)
	if err != nil {
		return err
	}
	var a, b int64
	return scan(rows, func(p netip.Prefix) { do(p, a, b) }, &a, &b)
}

// scan reads rows of a prefix and more to their end, and closes them.
func scan(rows *sql.Rows, do func(netip.Prefix), more ...any) error {
	defer rows.Close()
	var text sql.RawBytes
	columns := append([]any{&text}, more...)
	for rows.Next() {
		if err := rows.Scan(columns...); err != nil {
			return err
		}
		p, err := netip.ParsePrefix(string(text))
		if err != nil {
			return err
		}
		do(p)
	}
	return rows.Err()
}
