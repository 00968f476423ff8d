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
// splits a range around what may never be blocked. A lifted decision stays lifted, also if the filter refuses it. ApplyFilter
// returns the prefixes whose decisions it removed.
func (l *Ledger) ApplyFilter(ctx context.Context, admit func(ban.Decision) []netip.Prefix, now time.Time, limit int) ([]netip.Prefix, error) {
	differing, err := l.differing(ctx, admit, now)
	var ended []netip.Prefix
	for some := range slices.Chunk(differing, chunk) {
		if err != nil {
			break
		}
		_, err = l.transact(ctx, now, limit, func(t *transaction) (err error) {
			removed, err := t.admit(ctx, some)
			ended = append(ended, removed...)
			return err
		})
	}
	return ended, l.explain(err, "apply the filters to the decisions")
}

// judged is a stored decision and what a filter makes of it.
type judged struct {
	ban.Decision
	rows     []part         // its rows
	admitted []netip.Prefix // the prefixes that the filter gives
}

// part is a row of a decision: the whole decision, or a part that never-block left of a range.
type part struct {
	id     int64
	prefix netip.Prefix
	lifted bool
}

// admit gives each decision one row for each prefix that the filter admits. It returns the prefixes whose rows it removed.
func (t *transaction) admit(ctx context.Context, some []*judged) (ended []netip.Prefix, err error) {
	var affected []netip.Prefix
	for _, j := range some {
		affected = append(affected, j.admitted...)
		for _, row := range j.rows {
			affected = append(affected, row.prefix)
		}
	}
	err = t.update(ctx, affected, func(bans map[netip.Prefix]*storedBan) {
		for _, j := range some {
			ended = append(ended, t.replace(bans, j)...)
		}
	})
	return ended, err
}

// replace gives one decision a row for each prefix that the filter admits. A decision without a row was deleted meanwhile.
func (t *transaction) replace(bans map[netip.Prefix]*storedBan, j *judged) (ended []netip.Prefix) {
	rows := j.currentRows(bans)
	for _, p := range j.admitted {
		if len(rows) == 0 || slices.ContainsFunc(rows, func(r part) bool { return r.prefix == p }) {
			continue
		}
		added := j.Decision
		added.Prefix = p
		if row := t.add(bans, &added); row != nil && isLifted(p, rows) {
			bans[p].lift(row)
		}
	}
	for _, r := range rows {
		if !slices.Contains(j.admitted, r.prefix) && (!r.lifted || len(j.admitted) > 0) {
			bans[r.prefix].remove(func(d *storedDecision) bool { return d.id == r.id })
			ended = append(ended, r.prefix)
		}
	}
	return ended
}

// currentRows returns the rows of a decision that are still there, as they are now.
func (j *judged) currentRows(bans map[netip.Prefix]*storedBan) (rows []part) {
	for _, r := range j.rows {
		if s := bans[r.prefix]; s != nil {
			for _, d := range s.decisions {
				if d.id == r.id {
					rows = append(rows, part{r.id, r.prefix, d.lifted})
				}
			}
		}
	}
	return rows
}

// isLifted reports whether a new part of a decision is lifted: every old part that overlaps it is lifted. If none overlaps it,
// every old part is.
func isLifted(p netip.Prefix, rows []part) bool {
	overlapping := slices.DeleteFunc(slices.Clone(rows), func(r part) bool { return !r.prefix.Overlaps(p) })
	if len(overlapping) == 0 {
		overlapping = rows
	}
	return !slices.ContainsFunc(overlapping, func(r part) bool { return !r.lifted })
}

// differing returns the decisions for which the filter gives other prefixes than are stored.
func (l *Ledger) differing(ctx context.Context, admit func(ban.Decision) []netip.Prefix, now time.Time) (differing []*judged, err error) {
	ranges := map[ban.Decision]*judged{} // those that are stored in parts
	err = l.read(ctx, func(tx *sql.Tx) error {
		return query(ctx, tx, func(rows *sql.Rows) error {
			var d ban.Decision
			var id int64
			if err := rows.Scan(&id, scanInto(&d.Prefix), scanInto(&d.UUID), &d.ID, &d.RangeBits, scanInto(&d.Until), &d.Type, &d.Origin, &d.Scenario); err != nil {
				return err
			}
			p := d.Prefix
			d.Prefix = d.Range()
			if known := ranges[d]; known != nil {
				known.rows = append(known.rows, part{id: id, prefix: p})
				return nil
			}
			admitted := admit(d)
			if len(admitted) == 1 && admitted[0] == p {
				return nil
			}
			j := &judged{Decision: d, rows: []part{{id: id, prefix: p}}, admitted: admitted}
			differing = append(differing, j)
			if p != d.Prefix {
				ranges[d] = j
			}
			return nil
		}, `SELECT decision.id, prefix, uuid, lapi_id, bits, decision.until, type, origin, scenario
			FROM decision JOIN ban ON ban.id = decision.ban WHERE decision.until > ?`, now.UnixMilli())
	})
	return differing, err
}
