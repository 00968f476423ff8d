package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/plugin/ban"
)

// Admit applies a filter to the stored decisions as if they arrived now. It removes a decision that the filter refuses, and
// splits a range around what may never be blocked. It returns the prefixes whose decisions it removed.
func (l *Ledger) Admit(ctx context.Context, admit func(ban.Decision) []netip.Prefix, now time.Time, limit int) ([]netip.Prefix, error) {
	differing, err := l.differing(ctx, admit, now)
	if err != nil {
		return nil, fmt.Errorf("apply the filters to the decisions in %s: %w", l.path, err)
	}
	var ended []netip.Prefix
	for some := range slices.Chunk(differing, chunk) {
		_, err := l.change(ctx, now, limit, func(c *change) error {
			gone := map[int64]bool{}
			var parts []ban.Decision
			for _, d := range some {
				admitted := admit(d.Decision)
				if !slices.Contains(admitted, d.Prefix) {
					gone[d.id] = true
					ended = append(ended, d.Prefix)
				}
				for _, p := range admitted {
					part := d.Decision
					part.Prefix = p
					parts = append(parts, part)
				}
			}
			bans, err := load(ctx, c.tx, prefixesOfStored(some))
			if err != nil {
				return err
			}
			var removed []int64
			for _, s := range bans {
				removed = append(removed, s.remove(func(d *decision) bool { return gone[d.id] })...)
			}
			if err := c.remove(ctx, bans, removed); err != nil {
				return err
			}
			return c.arrive(ctx, parts, func(int64) {})
		})
		if err != nil {
			return nil, fmt.Errorf("apply the filters to the decisions in %s: %w", l.path, err)
		}
	}
	return ended, nil
}

// storedDecision is a decision beside the ID of its row.
type storedDecision struct {
	id int64
	ban.Decision
}

// differing returns the decisions for which the filter may give other prefixes than are stored. These are the decisions
// whose prefix it does not give, and all parts of ranges.
func (l *Ledger) differing(ctx context.Context, admit func(ban.Decision) []netip.Prefix, now time.Time) (differing []storedDecision, err error) {
	err = l.read(ctx, func(tx *sql.Tx) error {
		return query(ctx, tx, func(rows *sql.Rows) error {
			var d storedDecision
			var prefix string
			var uuid sql.RawBytes
			if err := rows.Scan(&d.id, &prefix, &uuid, &d.ID, &d.Bits, at(&d.Until), &d.Type, &d.Origin, &d.Scenario); err != nil {
				return err
			}
			copy(d.UUID[:], uuid)
			var err error
			if d.Prefix, err = netip.ParsePrefix(prefix); err != nil {
				return err
			}
			if d.Bits != d.Prefix.Bits() || !slices.Contains(admit(d.Decision), d.Prefix) {
				differing = append(differing, d)
			}
			return nil
		}, `SELECT decision.id, prefix, uuid, number, bits, decision.until, type, origin, scenario
			FROM decision JOIN ban ON ban.id = decision.ban WHERE decision.until > ? AND lifted = 0 AND type <> ?`, now.UnixMilli(), foundType)
	})
	return differing, err
}

func prefixesOfStored(decisions []storedDecision) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(decisions))
	for i := range decisions {
		all = append(all, decisions[i].Prefix)
	}
	return all
}
