package ledger

import (
	"context"
	"database/sql"
)

// A ban has a look: the number of a flush. It gets the number of the next flush when it becomes pending, and when a flush finds that the
// files may lack it or that it needs an entry of its own. After a flush that blocked everything, most bans need no look any more:
// flushing.settled is the number of that flush. A plan reads the bans of later looks alone, so its cost does not grow with the bans in
// force. An index has the look. It has no acknowledgement, so an acknowledgement of all bans changes no index.
//
// A settled ban is one of these:
//   - it is in force or has ended, and a flush up to asserted_flush wrote it to the files. If it has ended, another index finds it
//   - it waits, and the appliance has no trace of it

// querySettle gives the bans that are not settled by a flush (?1) the next look.
const querySettle = `UPDATE ban SET look = ?1 + 1 WHERE look > ?2 AND look <= ?1 AND
	CASE until WHEN 0 THEN written <> 0 OR expires <> 0 ELSE written <= 0 OR written > ?1 END`

// settle records that the last flush by group, or the last activation of a filter rule that enforces alone, settled the bans.
func (f *flushing) settle(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, querySettle, f.assertedFlush, f.settled)
	f.settled = f.assertedFlush
	return err
}
