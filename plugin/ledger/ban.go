package ledger

import (
	"context"
	"database/sql"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/plugin/ban"
)

// Ban is a ban in force.
type Ban struct {
	Prefix   netip.Prefix
	Until    time.Time
	Class    ban.Class
	Origin   string // of its decision that ends last
	Scenario string
	Blocked  bool // the appliance acknowledged it
	Waiting  bool // it is not enforced, because there are more bans than the limit
}

// EachBan calls do for the bans in force, those that end first before the others. It returns the first error of do.
func (l *Ledger) EachBan(ctx context.Context, now time.Time, do func(Ban) error) error {
	var stopped error
	err := l.read(ctx, func(tx *sql.Tx) error {
		return query(ctx, tx, func(rows *sql.Rows) error {
			var b Ban
			if err := rows.Scan(scanInto(&b.Prefix), scanInto(&b.Until), &b.Class, &b.Waiting, &b.Origin, &b.Scenario, &b.Blocked); err != nil {
				return err
			}
			stopped = do(b)
			return stopped
		}, `SELECT prefix, ends, ban.class, ban.until = 0, origin, scenario, written > 0 OR expires > ?1 FROM ban
			JOIN decision ON decision.ban = ban.id AND decision.id =
				(SELECT id FROM decision WHERE decision.ban = ban.id AND lifted = 0 ORDER BY until DESC LIMIT 1)
			WHERE ends > ?1 ORDER BY ends, prefix`, now.UnixMilli())
	})
	if stopped != nil {
		return stopped
	}
	return l.explain(err, "list the bans")
}

// Lift ends the ban of an address or a range by hand. It returns the prefixes whose decisions it lifted: the prefix itself, or the
// parts that never-block left of a range. The decisions stay recorded, so the next full read does not bring them back. A new
// decision blocks the prefix again.
func (l *Ledger) Lift(ctx context.Context, whole netip.Prefix, now time.Time, limit int) (lifted []netip.Prefix, err error) {
	_, err = l.transact(ctx, now, limit, func(t *transaction) error {
		selected := map[int64]bool{}
		lifted = nil
		err := query(ctx, t.tx, func(rows *sql.Rows) error {
			var id int64
			var p netip.Prefix
			err := rows.Scan(&id, scanInto(&p))
			if err == nil && whole.Overlaps(p) {
				selected[id] = true
				lifted = append(lifted, p)
			}
			return err
		}, `SELECT decision.id, prefix FROM decision JOIN ban ON ban.id = decision.ban
			WHERE lifted = 0 AND decision.until > ? AND (prefix = ? OR bits = ?)`, t.now, whole.String(), whole.Bits())
		if err != nil {
			return err
		}
		slices.SortFunc(lifted, netip.Prefix.Compare)
		lifted = slices.Compact(lifted)
		return t.update(ctx, lifted, func(bans map[netip.Prefix]*storedBan) {
			for _, b := range bans {
				for i := range b.decisions {
					if selected[b.decisions[i].id] {
						b.lift(&b.decisions[i])
					}
				}
			}
		})
	})
	return lifted, l.explain(err, "lift the ban of %s", whole)
}

// Ends returns the ends of those bans in force whose prefixes are given.
func (l *Ledger) Ends(ctx context.Context, some []netip.Prefix, now time.Time) (map[netip.Prefix]time.Time, error) {
	ends := map[netip.Prefix]time.Time{}
	err := l.read(ctx, func(tx *sql.Tx) error {
		return eachPrefix(ctx, tx, func(p netip.Prefix, until, _ int64) { ends[p] = timeOf(until) },
			"SELECT prefix, until, 0 FROM ban WHERE +until > ? AND prefix IN (SELECT value FROM json_each(?))", now.UnixMilli(), jsonArray(some))
	})
	return ends, l.explain(err, "look for bans")
}
