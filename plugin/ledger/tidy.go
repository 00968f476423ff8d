package ledger

import (
	"context"
	"database/sql"
)

// Tidy deletes bans that have ended, and ends the recorded failures that no flush will end. The caller calls it when nothing is pending.
func (l *Ledger) Tidy(ctx context.Context, p Plan) error {
	err := outcomeRecorder{l, l.writeAsHolder}.deleteEnded(ctx, p, false)
	if err == nil {
		err = l.execAsHolder(ctx, queryEndTrouble+" AND warning = 0", WholeFlush)
	}
	if err == nil && p.endsFilesFailure {
		err = l.execAsHolder(ctx, queryEndTrouble, Files)
	}
	return l.explain(err, "tidy up")
}

// queryDeletable selects bans that have ended and have no trace on the appliance. If a flush with the files was cut, any ban may have
// an entry of the group, so all stay until the files are compared. A ban with a lifted decision stays until that decision ends, so
// that a full read does not bring it back.
const queryDeletable = `SELECT id FROM ban WHERE until > 0 AND until <= ?1 AND change <= ?2 AND +written BETWEEN ?3 AND 0 AND expires = 0
	AND (?3 < 0 OR (SELECT unsure = 0 FROM flushing))
	AND NOT EXISTS (SELECT 1 FROM decision WHERE decision.ban = ban.id AND decision.until > ?1) LIMIT ?4`

// deleteEnded deletes the bans that have ended and have no trace on the appliance. cleared says that the flush removed all ended and
// waiting bans from the files.
func (r outcomeRecorder) deleteEnded(ctx context.Context, p Plan, cleared bool) error {
	least := 0
	if cleared {
		least = maybeListed
	}
	for most, gone := r.chunk(), r.chunk(); gone == most; {
		err := r.write(ctx, func(tx *sql.Tx) error {
			deleted, err := rowsAffected(tx.ExecContext(ctx, "DELETE FROM ban WHERE id IN ("+queryDeletable+")", p.now, p.change, least, most))
			gone = int(deleted)
			return err
		})
		if err != nil {
			return err
		}
	}
	if !cleared {
		return nil
	}
	// The rows of lifted decisions stay, and those of bans that wait.
	return r.write(ctx, func(tx *sql.Tx) error {
		return execEach(ctx, tx,
			statement{"UPDATE ban SET written = 0 WHERE until > 0 AND until <= ?1 AND written = -1 AND expires = 0 AND change <= ?2", []any{p.now, p.change}},
			statement{`UPDATE ban SET written = 0 WHERE look > (SELECT settled FROM flushing) AND +until = 0
				AND written = -1 AND expires = 0 AND change <= ?`, []any{p.change}})
	})
}
