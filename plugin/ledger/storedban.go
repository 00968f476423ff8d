package ledger

import (
	"context"
	"database/sql"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/plugin/ban"
)

// storedBan is a ban with its decisions, as one transaction reads and changes it. The schema explains its values.
type storedBan struct {
	id           int64
	prefix       netip.Prefix
	ends         int64
	until        int64
	next         int64
	class        ban.Class
	newest       int64
	change       int64
	pendingSince int64
	expires      int64
	written      int64
	look         int64
	decisions    []storedDecision

	isNew   bool    // it has no row yet
	changed bool    // its decisions changed, so its row must be written
	removed []int64 // the ids of decisions that were removed
}

// storedDecision is the row of a decision.
type storedDecision struct {
	id     int64
	uuid   ban.UUID
	lapiID int64
	until  int64
	class  ban.Class
	lifted bool

	sources, missedOnce, missedTwice int64 // sets of machines

	arrived *ban.Decision // the decision, if it has no row yet
	changed bool          // its row must be written
}

const (
	// tolerance is how far apart the ends of two deliveries of one decision may be. The Local API gives the time that remains in
	// whole seconds, counted from the moment when it wrote the answer.
	tolerance = 3 * time.Second
	// ignoredShift is how much later or earlier the end of a known decision may be without effect. A slow answer gives a later end.
	ignoredShift = time.Minute
)

// areNear reports whether two ends are at most a duration apart.
func areNear(a, b int64, within time.Duration) bool { return max(a-b, b-a) <= within.Milliseconds() }

// find returns the row of a decision that arrived from a machine, if the ban has it: the row with its UUID, or with its ID, or one that
// ends at about the same time. It compares IDs only where a UUID is missing, and ends only where an ID is missing too. Another Local API
// may have another decision with the same ID, so an ID of another machine counts only if the ends are about the same.
func (b *storedBan) find(arrived ban.Decision, from int64) (found *storedDecision) {
	for i := range b.decisions {
		d := &b.decisions[i]
		switch {
		case d.uuid != (ban.UUID{}) && arrived.UUID != (ban.UUID{}):
			if d.uuid == arrived.UUID {
				return d
			}
		case d.lapiID != 0 && arrived.ID != 0:
			if d.lapiID == arrived.ID && (d.sources&from != 0 || areNear(d.until, arrived.Until.UnixMilli(), tolerance)) {
				return d
			}
		case found == nil && areNear(d.until, arrived.Until.UnixMilli(), tolerance):
			found = d
		}
	}
	return found
}

// remove removes each decision for which the function returns true. It reports whether it removed any.
func (b *storedBan) remove(which func(*storedDecision) bool) bool {
	before := len(b.removed)
	b.decisions = slices.DeleteFunc(b.decisions, func(d storedDecision) bool {
		if !which(&d) {
			return false
		}
		b.removed = append(b.removed, d.id)
		return true
	})
	found := len(b.removed) > before
	b.changed = b.changed || found
	return found
}

// removeSource removes a machine from the sources of each decision for which the function returns true. A decision without a source is
// removed. removeSource reports whether there was such a decision.
func (b *storedBan) removeSource(machine int64, which func(*storedDecision) bool) (found bool) {
	var without []int64 // the decisions that have no source any more
	for i := range b.decisions {
		d := &b.decisions[i]
		if !which(d) {
			continue
		}
		found = true
		if d.sources&machine != 0 {
			d.sources, d.changed = d.sources&^machine, true
		}
		d.wasSeen(machine)
		if d.sources == 0 {
			without = append(without, d.id)
		}
	}
	b.remove(func(d *storedDecision) bool { return slices.Contains(without, d.id) })
	return found
}

// wasSeen records that a full read of a machine does not lack the decision.
func (d *storedDecision) wasSeen(machine int64) {
	if (d.missedOnce|d.missedTwice)&machine != 0 {
		d.missedOnce, d.missedTwice, d.changed = d.missedOnce&^machine, d.missedTwice&^machine, true
	}
}

// lift lifts a decision.
func (b *storedBan) lift(d *storedDecision) { d.lifted, d.changed, b.changed = true, true, true }

// summarize sets the end, the next end, the class and the newest decision of a ban. It returns false if no decision is in force.
func (b *storedBan) summarize(now int64) (inForce bool) {
	ends, next, class, newest := int64(0), int64(math.MaxInt64), ban.Class(math.MaxInt), int64(0)
	for i := range b.decisions {
		if d := &b.decisions[i]; !d.lifted && d.until > now {
			ends, next, class, newest = max(ends, d.until), min(next, d.until), min(class, d.class), max(newest, d.id)
		}
	}
	if ends == 0 {
		return false
	}
	b.ends, b.next, b.class, b.newest = ends, next, class, newest
	return true
}

// load reads the bans of some prefixes with their decisions. A prefix without a ban is not in the map.
func load(ctx context.Context, tx *sql.Tx, prefixes []netip.Prefix) (map[netip.Prefix]*storedBan, error) {
	bans := make(map[netip.Prefix]*storedBan, len(prefixes))
	byID := make(map[int64]*storedBan, len(prefixes))
	err := query(ctx, tx, func(rows *sql.Rows) error {
		b := &storedBan{}
		err := rows.Scan(&b.id, scanInto(&b.prefix), &b.ends, &b.until, &b.next, &b.class, &b.newest, &b.change, &b.pendingSince,
			&b.expires, &b.written, &b.look)
		bans[b.prefix], byID[b.id] = b, b
		return err
	}, `SELECT id, prefix, ends, until, next, class, newest, change, pending_since, expires, written, look
		FROM ban WHERE prefix IN (SELECT value FROM json_each(?))`, jsonArray(prefixes))
	if err != nil || len(bans) == 0 {
		return bans, err
	}
	err = query(ctx, tx, func(rows *sql.Rows) error {
		var d storedDecision
		var of int64
		err := rows.Scan(&d.id, &of, scanInto(&d.uuid), &d.lapiID, &d.until, &d.class, &d.lifted, &d.sources, &d.missedOnce, &d.missedTwice)
		if b := byID[of]; err == nil {
			b.decisions = append(b.decisions, d)
		}
		return err
	}, `SELECT id, ban, uuid, lapi_id, until, class, lifted, sources, missed_once, missed_twice
		FROM decision WHERE ban IN (SELECT CAST(value AS BIGINT) FROM json_each(?)) ORDER BY ban, id`, jsonArray(slices.Sorted(maps.Keys(byID))))
	return bans, err
}
