package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrHasBans says that a ledger already has bans.
var ErrHasBans = errors.New("it already has bans")

// Copied counts what [Copy] copied.
type Copied struct {
	Bans, Decisions int
	Traces          int // bans that may be on the appliance, in force or not
}

// copiedTables have what belongs to the appliance and its bans, in the order in which rows refer to each other. The triggers count the
// table tally.
var copiedTables = []string{"ban", "decision", "flushing", "trouble", "local_api", "sample"}

// Copy replaces the content of a ledger by that of another one, in one transaction: the decisions, the bans, and what the appliance
// acknowledged. If the ledger to already has bans, and replace is false, the error is an [ErrHasBans], and nothing is changed. Its caller
// holds the leases of both ledgers.
func Copy(ctx context.Context, from, to *Ledger, replace bool) (Copied, error) {
	var copied Copied
	err := from.read(ctx, func(source *sql.Tx) error {
		return to.write(ctx, func(target *sql.Tx) error {
			if err := empty(ctx, target, replace); err != nil {
				return err
			}
			for _, table := range copiedTables {
				if err := copyTable(ctx, source, target, table); err != nil {
					return fmt.Errorf("copy the table %s: %w", table, err)
				}
			}
			return target.QueryRowContext(ctx, `SELECT COUNT(*), (SELECT COUNT(*) FROM decision),
				COALESCE(SUM(CASE WHEN written <> 0 OR expires <> 0 THEN 1 ELSE 0 END), 0) FROM ban`).
				Scan(&copied.Bans, &copied.Decisions, &copied.Traces)
		})
	})
	if err != nil {
		err = fmt.Errorf("copy the state from %s to %s: %w", from.path, to.path, err)
	}
	return copied, err
}

// empty removes the rows of all tables that Copy copies.
func empty(ctx context.Context, tx *sql.Tx, replace bool) error {
	var bans int
	if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM ban").Scan(&bans); err != nil {
		return err
	}
	if bans > 0 && !replace {
		return ErrHasBans
	}
	for _, table := range slices.Backward(copiedTables) {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table); err != nil { //nolint:gosec // the names are constants
			return err
		}
	}
	return nil
}

// copyTable inserts the rows of a table of one ledger into the same table of another one.
func copyTable(ctx context.Context, source, target *sql.Tx, table string) error {
	rows, err := source.QueryContext(ctx, "SELECT * FROM "+table) //nolint:gosec // the names are constants
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	add := inserter{
		transaction: &transaction{tx: target, prepared: map[string]*sql.Stmt{}}, columns: len(columns),
		into: "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ",
	}
	for rows.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			return err
		}
		for i := range values {
			if blob, isBlob := values[i].([]byte); isBlob && blob == nil {
				values[i] = []byte{} // nil would be NULL
			}
		}
		if err := add.add(ctx, values...); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return add.finish(ctx)
}
