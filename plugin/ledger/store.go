package ledger

import (
	"context"
	"errors"

	"notification-stormshield/plugin/ban"
)

// storeBans writes the rows of the bans whose decisions changed.
func (t *transaction) storeBans(ctx context.Context, bans []*storedBan) error {
	added := inserter{transaction: t, table: "ban", columns: banColumns}
	changed := added
	changed.known = ` ON CONFLICT (id) DO UPDATE SET ends = excluded.ends, until = excluded.until, next = excluded.next, class = excluded.class,
		newest = excluded.newest, change = excluded.change, pending_since = excluded.pending_since,
		expires = excluded.expires, written = excluded.written, look = excluded.look`
	for _, b := range bans {
		if !b.changed {
			continue
		}
		t.recompute(b)
		rows := &changed
		if b.isNew {
			b.id = t.nextBan
			t.nextBan++
			rows = &added
		}
		err := rows.add(ctx, b.id, b.prefix.String(), b.ends, b.until, b.next, int64(b.class), b.newest, b.change, b.pendingSince, b.expires,
			b.written, b.look)
		if err != nil {
			return err
		}
	}
	return errors.Join(added.finish(ctx), changed.finish(ctx))
}

var banColumns = []string{"id", "prefix", "ends", "until", "next", "class", "newest", "change", "pending_since", "expires", "written", "look"}

// storeDecisions writes the rows of decisions that are new or changed, and deletes those that were removed.
func (t *transaction) storeDecisions(ctx context.Context, bans []*storedBan) error {
	if err := t.deleteDecisions(ctx, bans); err != nil {
		return err
	}
	added := inserter{transaction: t, table: "decision", columns: decisionColumns}
	changed := added
	changed.known = ` ON CONFLICT (ban, id) DO UPDATE SET uuid = excluded.uuid, lapi_id = excluded.lapi_id, until = excluded.until,
		lifted = excluded.lifted, sources = excluded.sources, missed_once = excluded.missed_once, missed_twice = excluded.missed_twice`
	for _, b := range bans {
		for i := range b.decisions {
			d := &b.decisions[i]
			if d.arrived == nil && !d.changed {
				continue
			}
			rows, a := &added, d.arrived
			if a == nil {
				rows, a = &changed, &ban.Decision{} // a known row keeps what never changes
			}
			err := rows.add(ctx, b.id, d.id, d.uuid.Bytes(), d.lapiID, int64(a.RangeBits), d.until, int64(d.class), a.Type, a.Origin, a.Scenario,
				oneIf(d.lifted), d.sources, d.missedOnce, d.missedTwice)
			if err != nil {
				return err
			}
		}
	}
	return errors.Join(added.finish(ctx), changed.finish(ctx))
}

var decisionColumns = []string{
	"ban", "id", "uuid", "lapi_id", "bits", "until", "class", "type", "origin", "scenario", "lifted", "sources", "missed_once", "missed_twice",
}

// deleteDecisions deletes the rows of decisions that were removed.
func (t *transaction) deleteDecisions(ctx context.Context, bans []*storedBan) error {
	var of, removed []int64
	for _, b := range bans {
		if len(b.removed) > 0 {
			of, removed = append(of, b.id), append(removed, b.removed...)
		}
	}
	if len(removed) == 0 {
		return nil
	}
	return t.exec(ctx, deleteRemoved, jsonArray(of), jsonArray(removed))
}

const (
	deleteRemoved = "DELETE FROM decision WHERE " + isAmongKeys

	// isAmongKeys selects decisions by the ids of their bans (?1), and by their own ids (?2). The plus sign keeps SQLite from
	// searching the index for both: it would look up each pair of a ban and a decision.
	isAmongKeys = "ban IN (SELECT CAST(value AS BIGINT) FROM json_each(?1)) AND +id IN (SELECT CAST(value AS BIGINT) FROM json_each(?2))"
)
