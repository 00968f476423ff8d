package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/netip"
	"time"
)

// RecordAttempt records that the appliance may have entries of some prefixes from now on, because this machine is about to block them.
// The outbox keeps the prefixes for a day, in case the shared state comes back from a backup that does not know them.
func (o *Outbox) RecordAttempt(ctx context.Context, prefixes []netip.Prefix, now time.Time) error {
	err := o.write(ctx, func(tx *sql.Tx) error {
		text, err := json.Marshal(prefixes)
		if err != nil {
			return err
		}
		const insert = `INSERT INTO block_attempt (prefix, at) SELECT value, ?2 FROM json_each(?1) WHERE true
			ON CONFLICT (prefix) DO UPDATE SET at = excluded.at`
		if _, err := tx.ExecContext(ctx, insert, string(text), now.UnixMilli()); err != nil {
			return err
		}
		// Each call deletes more old rows than it adds new ones. So the table has little more than the prefixes of a day.
		const tidy = "DELETE FROM block_attempt WHERE prefix IN (SELECT prefix FROM block_attempt WHERE at <= ? ORDER BY at LIMIT ?)"
		_, err = tx.ExecContext(ctx, tidy, now.Add(-keptFor).UnixMilli(), len(prefixes)+mostDeleted)
		return err
	})
	return o.explain(err, "record that %d prefixes may be blocked", len(prefixes))
}

// Attempts returns the prefixes that this machine began to block within the last day.
func (o *Outbox) Attempts(ctx context.Context, now time.Time) ([]netip.Prefix, error) {
	prefixes, err := o.attempts(ctx, now.Add(-keptFor))
	return prefixes, o.explain(err, "read which prefixes may be blocked")
}

func (o *Outbox) attempts(ctx context.Context, after time.Time) (prefixes []netip.Prefix, err error) {
	rows, err := o.db.QueryContext(ctx, "SELECT prefix FROM block_attempt WHERE at > ? ORDER BY at, prefix", after.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, rows.Err()
}
