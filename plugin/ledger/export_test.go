package ledger

import (
	"context"
	"fmt"
)

// SetVersion makes the ledger one of another schema version.
func (l *Ledger) SetVersion(ctx context.Context, version int) error {
	_, err := l.db.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version))
	return err
}
