package ledger

import (
	"context"
	"database/sql"
	"net/netip"
	"time"

	"notification-stormshield/appliance"
)

// BansInForce returns all bans that were in force when a plan was made. There may be hundreds of thousands, so the enforcer
// calls it only to compare the whole files.
func (l *Ledger) BansInForce(ctx context.Context, p Plan) ([]netip.Prefix, error) {
	inForce, err := l.prefixes(ctx, make([]netip.Prefix, 0, p.InForce),
		"SELECT prefix FROM ban WHERE until > 0 AND until > ? AND change <= ?", p.now, p.change)
	return inForce, l.explain(err, "read the bans in force")
}

// BansWithEntry returns the bans, with their ends, that were in force when a plan was made and that may have an entry. The others are
// pending. It leaves out ranges that the files lack, because the appliance does not know their objects.
func (l *Ledger) BansWithEntry(ctx context.Context, p Plan) ([]appliance.Ban, error) {
	bans := make([]appliance.Ban, 0, p.InForce)
	err := l.read(ctx, func(tx *sql.Tx) error {
		return eachPrefix(ctx, tx, func(prefix netip.Prefix, until, written int64) {
			if prefix.IsSingleIP() || written > 0 {
				bans = append(bans, appliance.Ban{Prefix: prefix, Until: timeOf(until)})
			}
		}, `SELECT prefix, until, written FROM ban WHERE until > 0 AND until > ? AND change <= ? AND (expires > 0 OR written > 0)
			ORDER BY class, newest DESC`, p.now, p.change)
	})
	return bans, l.explain(err, "read the bans in force")
}

// BansToBlock returns all bans that must be blocked, also those for which Plan.Block has no room. Bans without an entry come
// first. If least is not zero, it also returns the other bans in force whose own entry may end before least.
func (l *Ledger) BansToBlock(ctx context.Context, p Plan, q PlanOptions, least time.Time) ([]netip.Prefix, error) {
	var pending []netip.Prefix
	err := l.read(ctx, func(tx *sql.Tx) error {
		f, err := readFlushing(ctx, tx)
		if err != nil {
			return err
		}
		asserted, _ := f.lastingGroupFlush(q.Renew)
		return eachPending(ctx, tx, func(b pendingBan) { pending = append(pending, b.prefix) },
			queryPending, p.now, p.change, q.Renew.UnixMilli(), milliseconds(least), asserted)
	})
	return pending, l.explain(err, "read the bans to block")
}
