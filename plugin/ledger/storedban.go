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

// stored is a ban with its decisions, as one transaction reads and changes it.
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
	decisions    []storedDecision

	isNew   bool    // it has no row yet
	changed bool    // its decisions have changed since its row was written
	removed []int64 // of its decisions that were removed
}

// storedDecision is a row of a storedDecision.
type storedDecision struct {
	id      int64
	uuid    ban.UUID
	lapiID  int64
	until   int64
	class   ban.Class
	lifted  bool
	missing int

	arrived *ban.Decision // it has no row yet
	changed bool          // its row differs
}

const (
	// tolerance is how far apart the ends of two deliveries of one decision may be. The Local API gives what is left in whole
	// seconds, counted from when it wrote the answer.
	tolerance = 3 * time.Second
	// slowness is how far the end of a known decision may move without effect: a slow answer gives a later end.
	slowness = time.Minute
)

// near reports whether two ends are no further apart than a duration.
func near(a, b int64, within time.Duration) bool { return max(a-b, b-a) <= within.Milliseconds() }

// find returns the decision that arrived, if the ban has it already: the one with its UUID or ID, or one without these that
// ends at about the same time.
func (s *storedBan) find(arrived ban.Decision) (found *storedDecision) {
	for i := range s.decisions {
		d := &s.decisions[i]
		switch {
		case d.uuid != (ban.UUID{}) && arrived.UUID != (ban.UUID{}):
			if d.uuid == arrived.UUID {
				return d
			}
		case d.lapiID != 0 && arrived.ID != 0:
			if d.lapiID == arrived.ID {
				return d
			}
		case found == nil && near(d.until, arrived.Until.UnixMilli(), tolerance):
			found = d
		}
	}
	return found
}

// remove removes decisions, and reports whether there were any.
func (s *storedBan) remove(which func(*storedDecision) bool) bool {
	before := len(s.removed)
	s.decisions = slices.DeleteFunc(s.decisions, func(d storedDecision) bool {
		if !which(&d) {
			return false
		}
		s.removed = append(s.removed, d.id)
		return true
	})
	found := len(s.removed) > before
	s.changed = s.changed || found
	return found
}

// lift lifts a decision.
func (s *storedBan) lift(d *storedDecision) { d.lifted, d.changed, s.changed = true, true, true }

// sum sets the end, the next end, the class and the newest decision of a ban. It returns false if no decision is in force.
func (s *storedBan) sum(summarize int64) (inForce bool) {
	ends, next, class, newest := int64(0), int64(math.MaxInt64), ban.Class(math.MaxInt), int64(0)
	for i := range s.decisions {
		if d := &s.decisions[i]; !d.lifted && d.until > summarize {
			ends, next, class, newest = max(ends, d.until), min(next, d.until), min(class, d.class), max(newest, d.id)
		}
	}
	if ends == 0 {
		return false
	}
	s.ends, s.next, s.class, s.newest = ends, next, class, newest
	return true
}

// load reads the bans of some prefixes with their decisions. A prefix that has no ban is not in the answer.
func load(ctx context.Context, tx *sql.Tx, prefixes []netip.Prefix) (map[netip.Prefix]*storedBan, error) {
	bans := make(map[netip.Prefix]*storedBan, len(prefixes))
	byID := make(map[int64]*storedBan, len(prefixes))
	err := query(ctx, tx, func(rows *sql.Rows) error {
		s := &storedBan{}
		err := rows.Scan(&s.id, scanInto(&s.prefix), &s.ends, &s.until, &s.next, &s.class, &s.newest, &s.change, &s.pendingSince, &s.expires, &s.written)
		bans[s.prefix], byID[s.id] = s, s
		return err
	}, "SELECT id, prefix, ends, until, next, class, newest, change, pending_since, expires, written FROM ban WHERE prefix IN (SELECT value FROM json_each(?))", jsonArray(prefixes))
	if err != nil || len(bans) == 0 {
		return bans, err
	}
	err = query(ctx, tx, func(rows *sql.Rows) error {
		var d storedDecision
		var of int64
		err := rows.Scan(&d.id, &of, scanInto(&d.uuid), &d.lapiID, &d.until, &d.class, &d.lifted, &d.missing)
		if s := byID[of]; err == nil {
			s.decisions = append(s.decisions, d)
		}
		return err
	}, `SELECT id, ban, uuid, lapi_id, until, class, lifted, missing
		FROM decision WHERE ban IN (SELECT value FROM json_each(?)) ORDER BY ban, id`, jsonArray(slices.Sorted(maps.Keys(byID))))
	return bans, err
}
