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
	isNew         = "+until > ?1 AND change > (SELECT new_after FROM flushing) AND change <= ?2 AND expires <= 1"
	queryNewAmong = "SELECT pending_since FROM ban WHERE prefix IN (SELECT value FROM json_each(?3)) AND " + isNew
	// The files lack a new ban, or a flush wrote it that did not end well.
	queryNew = `SELECT pending_since FROM (SELECT * FROM ban WHERE look > (SELECT settled FROM flushing)
		AND (written <= 0 OR written > (SELECT asserted_flush FROM flushing))) AS pending
		WHERE prefix NOT IN (SELECT value FROM json_each(?3)) AND ` + isNew
)

// findWaits returns how long each new ban waited that an outcome acknowledges. The wait begins when a decision makes the ban. If the ban
// waits for room then, its wait begins when there is room. The caller calls findWaits before it changes the bans.
func findWaits(ctx context.Context, tx *sql.Tx, p Plan, o appliance.Outcome, now time.Time) (waits []time.Duration, err error) {
	find := func(at time.Time, text, which string) error {
		return query(ctx, tx, func(rows *sql.Rows) error {
			var since int64
			err := rows.Scan(&since)
			waits = append(waits, max(at.Sub(timeOf(since)), 0))
			return err
		}, text, p.now, p.change, which)
	}
	all := o.Asserted
	if p.Target.WithoutBlacklist && !o.RuleMissing {
		all = o.Activated
	}
	if !all.IsZero() {
		err = find(all, queryNew, jsonArray(o.Refused))
		return waits, err
	}
	for some := range slices.Chunk(o.Blocked, chunk) {
		var blocked []netip.Prefix
		for _, e := range some {
			blocked = append(blocked, e.Prefix)
		}
		if err := find(now, queryNewAmong, jsonArray(blocked)); err != nil {
			return waits, err
		}
	}
	return waits, nil
}
