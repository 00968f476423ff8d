package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// ErrHasBans says that a ledger already has bans.
var ErrHasBans = errors.New("it already has bans")

// Copied counts what [Copy] copied.
type Copied struct {
	Bans, Decisions int
	Traces          int // bans that may be on the appliance, in force or not
}

// copiedTable is a table with what belongs to the appliance and its bans.
type copiedTable struct {
	name string
	// change changes a row for the other ledger; nil: it stays as it is. If it returns false, the row is left out.
	change func(c copying, row map[string]any) bool
}

// copiedTables are in the order in which rows refer to each other. The triggers count the table tally. The tables machine and holder belong
// to each ledger.
var copiedTables = []copiedTable{
	{"ban", nil}, {"decision", copying.changeDecision}, {"flushing", copying.changeFlushing}, {"trouble", nil}, {"local_api", copying.changeLocalAPI}, {"sample", nil},
}

// copying is one copy between two ledgers, in a transaction of each.
type copying struct {
	from, to       *Ledger
	source, target *sql.Tx
	maxBans        int64 // of the target
}

// Copy replaces the content of a ledger by that of another one, in one transaction: the decisions, the bans, and what the appliance
// acknowledged. If the ledger to already has bans, and replace is false, the error is an [ErrHasBans], and nothing is changed. Its caller
// holds the leases of both ledgers.
//
// What the machine of one ledger delivered counts as delivered by the machine of the other one. A decision that only other machines
// delivered then has no source, so no full read ends it before its time.
func Copy(ctx context.Context, from, to *Ledger, replace bool) (Copied, error) {
	var copied Copied
	err := from.read(ctx, func(source *sql.Tx) error {
		return to.write(ctx, func(target *sql.Tx) error {
			c := copying{from: from, to: to, source: source, target: target}
			if err := c.emptyTarget(ctx, replace); err != nil {
				return err
			}
			for _, table := range copiedTables {
				if err := c.copyTable(ctx, table); err != nil {
					return fmt.Errorf("copy the table %s: %w", table.name, err)
				}
			}
			return target.QueryRowContext(ctx, `SELECT COUNT(*), (SELECT COUNT(*) FROM decision),
				COUNT(*) FILTER (WHERE written <> 0 OR expires <> 0) FROM ban`).Scan(&copied.Bans, &copied.Decisions, &copied.Traces)
		})
	})
	if err != nil {
		err = fmt.Errorf("copy the state from %s to %s: %w", from.Place(), to.Place(), err)
	}
	return copied, err
}

// emptyTarget removes the rows that Copy replaces.
func (c *copying) emptyTarget(ctx context.Context, replace bool) error {
	var bans int
	if err := c.target.QueryRowContext(ctx, "SELECT COUNT(*), (SELECT max_bans FROM flushing) FROM ban").Scan(&bans, &c.maxBans); err != nil {
		return err
	}
	if bans > 0 && !replace {
		return ErrHasBans
	}
	for _, table := range slices.Backward(copiedTables) {
		statement, parameters := "DELETE FROM "+table.name, []any(nil) //nolint:gosec // the names are constants
		if table.name == "local_api" {
			statement, parameters = statement+" WHERE machine = ?", []any{c.to.number()}
		}
		if _, err := c.target.ExecContext(ctx, statement, parameters...); err != nil {
			return err
		}
	}
	return nil
}

// copyTable inserts the rows of a table of the source into the same table of the target.
func (c *copying) copyTable(ctx context.Context, table copiedTable) error {
	rows, err := c.source.QueryContext(ctx, "SELECT * FROM "+table.name) //nolint:gosec // the names are constants
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	add := inserter{
		transaction: &transaction{tx: c.target, shared: c.to.shared, prepared: map[string]*sql.Stmt{}}, table: table.name, columns: columns,
	}
	for rows.Next() {
		row, err := scanRow(rows, columns)
		if err != nil {
			return err
		}
		if table.change != nil && !table.change(*c, row) {
			continue
		}
		values := make([]any, len(columns))
		for i, column := range columns {
			values[i] = row[column]
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

// scanRow reads a row by the names of its columns.
func scanRow(rows *sql.Rows, columns []string) (map[string]any, error) {
	values, places := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	if err := rows.Scan(places...); err != nil {
		return nil, err
	}
	row := make(map[string]any, len(columns))
	for i, column := range columns {
		if blob, isBlob := values[i].([]byte); isBlob && blob == nil {
			values[i] = []byte{} // nil would be NULL
		}
		row[column] = values[i]
	}
	return row, nil
}

// changeDecision replaces the machine of the source by that of the target. The ID that another Local API gave means nothing to the target.
func (c copying) changeDecision(row map[string]any) bool {
	if row["sources"].(int64)&c.from.machine.Load() == 0 {
		row["lapi_id"] = int64(0)
	}
	for _, set := range []string{"sources", "missed_once", "missed_twice"} {
		if row[set].(int64)&c.from.machine.Load() == 0 {
			row[set] = int64(0)
		} else {
			row[set] = c.to.machine.Load()
		}
	}
	return true
}

// changeFlushing keeps the limit of the target.
func (c copying) changeFlushing(row map[string]any) bool {
	row["max_bans"] = c.maxBans
	return true
}

// changeLocalAPI leaves out the Local APIs of other machines.
func (c copying) changeLocalAPI(row map[string]any) bool {
	isOwn := row["machine"] == c.from.number()
	row["machine"] = c.to.number()
	return isOwn
}
