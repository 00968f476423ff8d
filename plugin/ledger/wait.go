package ledger

import (
	"context"
	"database/sql"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/appliance"
)

// A ban is new from the change that makes it pending until the appliance acknowledges it. An acknowledgement of one ban gives its entry an
// end. An acknowledgement of all bans, by the group or by the filter rule, sets new_after: a ban that the appliance
// refuses then is not new afterwards.
const (
	isNew         = "+until > ?1 AND change > ?2 AND change <= ?3 AND expires <= 1"
	queryNewAmong = "SELECT pending_since FROM ban WHERE prefix IN (SELECT value FROM json_each(?4)) AND " + isNew
	// The files lack a new ban, or a flush wrote it that did not end well.
	queryNew = `SELECT pending_since FROM (SELECT * FROM ban WHERE look > ?6 AND (written <= 0 OR written > ?4)) AS pending
		WHERE prefix NOT IN (SELECT value FROM json_each(?5)) AND ` + isNew
)

// findWaits returns how long each new ban waited that an outcome acknowledges. The wait begins when a decision makes the ban. If the ban
// waits for room then, its wait begins when there is room. RecordOutcome calls findWaits before it changes the bans.
func (l *Ledger) findWaits(ctx context.Context, p Plan, o appliance.Outcome, now time.Time) (waits []time.Duration, err error) {
	err = l.read(ctx, func(tx *sql.Tx) error {
		f, err := readFlushing(ctx, tx)
		if err != nil {
			return err
		}
		find := func(at time.Time, text string, which ...any) error {
			return query(ctx, tx, func(rows *sql.Rows) error {
				var since int64
				err := rows.Scan(&since)
				waits = append(waits, max(at.Sub(timeOf(since)), 0))
				return err
			}, text, append([]any{p.now, f.newAfter, p.change}, which...)...)
		}
		all := o.Asserted
		if p.Target.WithoutBlacklist && !o.RuleMissing {
			all = o.Activated
		}
		if !all.IsZero() {
			return find(all, queryNew, f.assertedFlush, jsonArray(o.Refused), f.settled)
		}
		for some := range slices.Chunk(o.Blocked, chunk) {
			var blocked []netip.Prefix
			for _, e := range some {
				blocked = append(blocked, e.Prefix)
			}
			if err := find(now, queryNewAmong, jsonArray(blocked)); err != nil {
				return err
			}
		}
		return nil
	})
	return waits, err
}
