package ledger

import (
	"context"
	"database/sql"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/plugin/ban"
)

// ApplyFilter applies a filter to the stored decisions as if they arrived now. It removes a decision that the filter refuses, and
// splits a range around the addresses that are never blocked. A lifted decision stays lifted, also if the filter refuses it.
// ApplyFilter returns the prefixes whose decisions it removed.
func (l *Ledger) ApplyFilter(ctx context.Context, admit func(ban.Decision) []netip.Prefix, now time.Time, limit int) ([]netip.Prefix, error) {
	all, err := l.findRefiltered(ctx, admit, now)
	var ended []netip.Prefix
	for some := range slices.Chunk(all, chunk) {
		if err != nil {
			break
		}
		_, err = l.transact(ctx, now, limit, func(t *transaction) error {
			removed, err := t.replaceParts(ctx, some)
			ended = append(ended, removed...)
			return err
		})
	}
	return ended, l.explain(err, "apply the filters to the decisions")
}

// refiltered is a stored decision for which the filter gives other prefixes than are stored.
type refiltered struct {
	ban.Decision
	parts    []part
	admitted []netip.Prefix // the prefixes that the filter gives
}

// part is a row of a decision: the whole decision, or a part that never-block left of a range.
type part struct {
	id      int64
	prefix  netip.Prefix
	lifted  bool
	sources int64
}

// replaceParts makes the rows of each decision those of the prefixes that the filter admits. It returns the prefixes whose rows it
// removed.
func (t *transaction) replaceParts(ctx context.Context, some []*refiltered) (ended []netip.Prefix, err error) {
	var prefixes []netip.Prefix
	for _, r := range some {
		prefixes = append(prefixes, r.admitted...)
		for _, p := range r.parts {
			prefixes = append(prefixes, p.prefix)
		}
	}
	err = t.update(ctx, prefixes, func(bans map[netip.Prefix]*storedBan) {
		for _, r := range some {
			ended = append(ended, t.replaceRows(bans, r)...)
		}
	})
	return ended, err
}

// replaceRows does the work of replaceParts for one decision. A decision without a row was deleted meanwhile, and gets none.
func (t *transaction) replaceRows(bans map[netip.Prefix]*storedBan, r *refiltered) (ended []netip.Prefix) {
	parts := r.currentParts(bans)
	for _, prefix := range r.admitted {
		if len(parts) == 0 || slices.ContainsFunc(parts, func(p part) bool { return p.prefix == prefix }) {
			continue
		}
		added := r.Decision
		added.Prefix = prefix
		if row := t.add(bans, &added, sourcesOf(parts)); row != nil && isLifted(prefix, parts) {
			bans[prefix].lift(row)
		}
	}
	for _, p := range parts {
		if !slices.Contains(r.admitted, p.prefix) && (!p.lifted || len(r.admitted) > 0) {
			bans[p.prefix].remove(func(d *storedDecision) bool { return d.id == p.id })
			ended = append(ended, p.prefix)
		}
	}
	return ended
}

// currentParts returns the rows of a decision that still exist, as they are now.
func (r *refiltered) currentParts(bans map[netip.Prefix]*storedBan) (parts []part) {
	for _, p := range r.parts {
		if b := bans[p.prefix]; b != nil {
			for _, d := range b.decisions {
				if d.id == p.id {
					parts = append(parts, part{p.id, p.prefix, d.lifted, d.sources})
				}
			}
		}
	}
	return parts
}

// sourcesOf returns the machines that delivered a decision.
func sourcesOf(parts []part) (sources int64) {
	for _, p := range parts {
		sources |= p.sources
	}
	return sources
}

// isLifted reports whether a new part of a decision is lifted: every old part that overlaps it is. If none overlaps it, every old
// part must be.
func isLifted(prefix netip.Prefix, parts []part) bool {
	overlapping := slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return !p.prefix.Overlaps(prefix) })
	if len(overlapping) == 0 {
		overlapping = parts
	}
	return !slices.ContainsFunc(overlapping, func(p part) bool { return !p.lifted })
}

// findRefiltered returns the decisions for which the filter gives other prefixes than are stored.
func (l *Ledger) findRefiltered(ctx context.Context, admit func(ban.Decision) []netip.Prefix, now time.Time) (all []*refiltered, err error) {
	split := map[ban.Decision]*refiltered{} // the ranges that are stored in parts
	err = l.read(ctx, func(tx *sql.Tx) error {
		return query(ctx, tx, func(rows *sql.Rows) error {
			var d ban.Decision
			var id int64
			err := rows.Scan(&id, scanInto(&d.Prefix), scanInto(&d.UUID), &d.ID, &d.RangeBits, scanInto(&d.Until), &d.Type, &d.Origin, &d.Scenario)
			if err != nil {
				return err
			}
			p := part{id: id, prefix: d.Prefix}
			d.Prefix = d.Range()
			if known := split[d]; known != nil {
				known.parts = append(known.parts, p)
				return nil
			}
			admitted := admit(d)
			if len(admitted) == 1 && admitted[0] == p.prefix {
				return nil
			}
			r := &refiltered{Decision: d, parts: []part{p}, admitted: admitted}
			all = append(all, r)
			if p.prefix != d.Prefix {
				split[d] = r
			}
			return nil
		}, `SELECT decision.id, prefix, uuid, lapi_id, bits, decision.until, type, origin, scenario
			FROM decision JOIN ban ON ban.id = decision.ban WHERE decision.until > ?`, now.UnixMilli())
	})
	return all, err
}
