package ledger

import (
	"context"
	"fmt"
)

// SetVersion makes the ledger one of another schema version.
func (l *Ledger) SetVersion(ctx context.Context, version int) error {
	return l.Run(ctx, fmt.Sprintf("PRAGMA user_version = %d", version))
}

// Run runs statements in the ledger's file.
func (l *Ledger) Run(ctx context.Context, statements string) error {
	_, err := l.db.ExecContext(ctx, statements)
	return err
}

// Lines returns what a query gives, row by row, of its last column.
func (l *Ledger) Lines(ctx context.Context, query string) ([]string, error) {
	rows, err := l.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var lines []string
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprint(*values[len(values)-1].(*any)))
	}
	return lines, rows.Err()
}

// PlanQueries are all that Plan asks about bans.
var PlanQueries = []string{queryUnlisted, queryUnasserted, queryGone, queryEnded, queryNext}

// ChoiceQueries are all that a change and a flush ask about bans beside their own prefixes, and about the time.
var ChoiceQueries = []string{queryForget, queryOver, queryDemote, queryPromote, queryExpired, queryNextDecision, queryFirst, queryLast}

// AtFirstRow calls do at the first row of a query, while SQLite still has the others.
func (l *Ledger) AtFirstRow(ctx context.Context, query string, do func()) error {
	rows, err := l.db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	if rows.Next() {
		do()
	}
	return rows.Err()
}
