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
// splits a range around what may never be blocked. What was lifted stays lifted, also if the filter refuses it. Admit
// returns the prefixes whose decisions it removed.
func (l *Ledger) Admit(ctx context.Context, admit func(ban.Decision) []netip.Prefix, now time.Time, limit int) ([]netip.Prefix, error) {
	differing, err := l.differing(ctx, admit, now)
	var ended []netip.Prefix
	for some := range slices.Chunk(differing, chunk) {
		if err != nil {
			break
		}
		_, err = l.change(ctx, now, limit, func(c *change) (err error) {
			removed, err := c.admit(ctx, some)
			ended = append(ended, removed...)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("apply the filters to the decisions in %s: %w", l.path, err)
	}
	return ended, nil
}

// judged is a stored decision and what a filter makes of it.
type judged struct {
	ban.Decision
	rows     map[int64]netip.Prefix // of its rows, the prefixes that they block
	admitted []netip.Prefix         // the prefixes that the filter gives
}

// admit gives decisions the rows that their filter wants. It returns the prefixes whose rows it removed.
func (c *change) admit(ctx context.Context, some []*judged) (ended []netip.Prefix, err error) {
	var affected []netip.Prefix
	for _, j := range some {
		for _, prefix := range j.rows {
			affected = append(affected, prefix)
		}
	}
	bans, err := load(ctx, c.tx, affected)
	if err != nil {
		return nil, err
	}
	var parts, lifted []ban.Decision
	var removed []int64
	for _, j := range some {
		newParts, newLifted := j.lacking(bans)
		parts, lifted = append(parts, newParts...), append(lifted, newLifted...)
		for id, prefix := range j.rows {
			row := bans[prefix].row(id)
			if row == nil || slices.Contains(j.admitted, prefix) || row.lifted && len(j.admitted) == 0 {
				continue
			}
			removed = append(removed, bans[prefix].remove(func(d *decision) bool { return d.id == id })...)
			ended = append(ended, prefix)
		}
	}
	if err := c.remove(ctx, bans, removed); err != nil {
		return nil, err
	}
	if err := c.arrive(ctx, parts, ignoreRow); err != nil {
		return nil, err
	}
	return ended, c.arrive(ctx, lifted, func(s *stored, d *decision) { d.lifted, d.changed, s.changed = true, true, true })
}

// lacking returns the parts of a decision that have no row. A part is lifted if all rows were that overlap it, or if all
// rows of the decision were. A decision without a row was deleted meanwhile, and lacks nothing.
func (j *judged) lacking(bans map[netip.Prefix]*stored) (parts, lifted []ban.Decision) {
	isLifted := map[netip.Prefix]bool{}
	allLifted := true
	for id, prefix := range j.rows {
		if row := bans[prefix].row(id); row != nil {
			isLifted[prefix] = row.lifted
			allLifted = allLifted && row.lifted
		}
	}
	for _, p := range j.admitted {
		if _, has := isLifted[p]; has || len(isLifted) == 0 {
			continue
		}
		overlapped, overlappedLifted := false, true
		for prefix, is := range isLifted {
			if p.Overlaps(prefix) {
				overlapped, overlappedLifted = true, overlappedLifted && is
			}
		}
		part := j.Decision
		part.Prefix = p
		if allLifted || overlapped && overlappedLifted {
			lifted = append(lifted, part)
		} else {
			parts = append(parts, part)
		}
	}
	return parts, lifted
}

// row returns the row of a decision; nil: the ban does not have it.
func (s *stored) row(id int64) *decision {
	if s == nil {
		return nil
	}
	for i := range s.decisions {
		if s.decisions[i].id == id {
			return &s.decisions[i]
		}
	}
	return nil
}

// differing returns the decisions for which the filter gives other prefixes than are stored.
func (l *Ledger) differing(ctx context.Context, admit func(ban.Decision) []netip.Prefix, now time.Time) (differing []*judged, err error) {
	ranges := map[ban.Decision]*judged{} // those that are stored in parts
	err = l.read(ctx, func(tx *sql.Tx) error {
		return query(ctx, tx, func(rows *sql.Rows) error {
			var d ban.Decision
			var id int64
			var prefix string
			var uuid sql.RawBytes
			if err := rows.Scan(&id, &prefix, &uuid, &d.ID, &d.Bits, at(&d.Until), &d.Type, &d.Origin, &d.Scenario); err != nil {
				return err
			}
			copy(d.UUID[:], uuid)
			p, err := netip.ParsePrefix(prefix)
			if err != nil {
				return err
			}
			d.Prefix = p
			d.Prefix = d.Whole()
			if known := ranges[d]; known != nil {
				known.rows[id] = p
				return nil
			}
			admitted := admit(d)
			if len(admitted) == 1 && admitted[0] == p {
				return nil
			}
			j := &judged{Decision: d, rows: map[int64]netip.Prefix{id: p}, admitted: admitted}
			differing = append(differing, j)
			if p != d.Prefix {
				ranges[d] = j
			}
			return nil
		}, `SELECT decision.id, prefix, uuid, number, bits, decision.until, type, origin, scenario
			FROM decision JOIN ban ON ban.id = decision.ban WHERE decision.until > ?`, now.UnixMilli())
	})
	return differing, err
}
