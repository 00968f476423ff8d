package ledger

import (
	"context"
	"database/sql"
	"net/netip"
	"slices"
	"time"

	"github.com/bits-and-blooms/bitset"

	"notification-stormshield/plugin/ban"
)

// FullRead is one read of every decision that the Local API of this machine lists. It says nothing about decisions that only other
// machines delivered.
type FullRead struct {
	last int64         // the decision that was recorded last before the read began
	seen bitset.BitSet // the ids of the ledger's decisions that the Local API listed
}

// BeginFullRead begins a full read. The caller calls it before it asks the Local API.
func (l *Ledger) BeginFullRead(ctx context.Context) (*FullRead, error) {
	r := &FullRead{}
	var isTaken bool
	err := l.db.QueryRowContext(ctx, "SELECT decisions, "+queryTaken+" FROM flushing", l.name, l.identity).Scan(&r.last, &isTaken)
	if err == nil && isTaken { // EndFullRead would count decisions of the other machine as missing
		err = ErrNameTaken
	}
	return r, l.explain(err, "read the number of the last decision")
}

// RecordListed stores decisions that the Local API lists. r is their full read; nil: a poll listed them.
func (l *Ledger) RecordListed(ctx context.Context, r *FullRead, decisions []ban.Decision, now time.Time, limit int) (Recorded, error) {
	if len(decisions) == 0 {
		return Recorded{}, nil
	}
	seen := ignoreRow
	if r != nil {
		seen = func(d *storedDecision) { r.seen.Set(uint(d.id)) }
	}
	recorded, err := l.transact(ctx, now, limit, func(t *transaction) error { return t.addAll(ctx, decisions, seen) })
	return recorded, l.explain(err, "record %d listed decisions", len(decisions))
}

// RemoveDeleted removes decisions that the Local API reports as deleted. A decision that another machine delivered too stays.
func (l *Ledger) RemoveDeleted(ctx context.Context, decisions []ban.Decision, now time.Time, limit int) (Recorded, error) {
	var all Recorded
	for some := range slices.Chunk(decisions, chunk) {
		recorded, err := l.transact(ctx, now, limit, func(t *transaction) error {
			return t.update(ctx, prefixesOf(some), func(bans map[netip.Prefix]*storedBan) {
				for i := range some {
					if b := bans[some[i].Prefix]; b != nil && !b.removeOne(some[i], t.machine) && b.hasUnidentified(t.machine) {
						t.recorded.Unmatched++
					}
				}
			})
		})
		if err != nil {
			return all, l.explain(err, "end %d deleted decisions", len(some))
		}
		all.Add(recorded)
	}
	return all, nil
}

// removeOne removes the decision that the Local API of a machine reports as deleted, and reports whether the ban has it. It does not
// compare the ends, because the report of a deletion carries another end.
func (b *storedBan) removeOne(deleted ban.Decision, machine int64) bool {
	return b.removeSource(machine, func(d *storedDecision) bool {
		if d.uuid != (ban.UUID{}) && deleted.UUID != (ban.UUID{}) {
			return d.uuid == deleted.UUID
		}
		return d.lapiID != 0 && d.lapiID == deleted.ID && d.sources&machine != 0
	})
}

// hasUnidentified reports whether the ban has a decision of a machine that has neither UUID nor ID.
func (b *storedBan) hasUnidentified(machine int64) bool {
	return slices.ContainsFunc(b.decisions, func(d storedDecision) bool {
		return d.uuid == (ban.UUID{}) && d.lapiID == 0 && d.sources&machine != 0
	})
}

const updateMissed = "UPDATE decision SET missed_twice = missed_twice | (missed_once & ?3), missed_once = missed_once | ?3 WHERE " + isAmongKeys

// Missing counts the decisions that two full reads in a row lacked.
type Missing struct {
	Count  int
	Sample []ban.Decision // UUID, ID and Prefix of some of them, spread over all
}

// sampleSize is how many decisions a sample has at most.
const sampleSize = 8

// EndFullRead records a full read that ended well, and returns how many decisions in force it lacked. The ledger counts for each
// decision how many full reads in a row lacked it. isSelected reports whether the query of the read selects a decision; it gets the
// decision without UUID and end. A decision that the query does not select is not missing.
func (l *Ledger) EndFullRead(ctx context.Context, r *FullRead, isSelected func(ban.Decision) bool, now time.Time) (lacked int, err error) {
	var absent [][2]int64 // the ids of ban and decision
	err = l.read(ctx, func(tx *sql.Tx) error {
		return query(ctx, tx, func(rows *sql.Rows) error {
			var key [2]int64
			var d ban.Decision
			err := rows.Scan(&key[0], &key[1], scanInto(&d.Prefix), &d.ID, &d.RangeBits, &d.Type, &d.Origin, &d.Scenario)
			if err == nil && !r.seen.Test(uint(key[1])) && isSelected(d) {
				absent = append(absent, key)
			}
			return err
		}, `SELECT ban, decision.id, prefix, lapi_id, bits, type, origin, scenario FROM decision JOIN ban ON ban.id = decision.ban
			WHERE decision.id <= ? AND decision.until > ? AND type <> ? AND (sources & ?) <> 0`, r.last, now.UnixMilli(), ban.FoundEntry, l.machine.Load())
	})
	for some := range slices.Chunk(absent, chunk) {
		if err != nil {
			break
		}
		var bans, decisions []int64
		for _, key := range some {
			bans, decisions = append(bans, key[0]), append(decisions, key[1])
		}
		err = l.exec(ctx, updateMissed, jsonArray(bans), jsonArray(decisions), l.machine.Load())
	}
	return len(absent), l.explain(err, "look for missing decisions")
}

// Missing returns the decisions that two full reads in a row lacked.
func (l *Ledger) Missing(ctx context.Context, now time.Time) (m Missing, err error) {
	err = l.read(ctx, func(tx *sql.Tx) error {
		count := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM decision WHERE (missed_twice & ?) <> 0 AND until > ?", l.machine.Load(), now.UnixMilli())
		if err := count.Scan(&m.Count); err != nil || m.Count == 0 {
			return err
		}
		step := max(m.Count/sampleSize, 1)
		return query(ctx, tx, func(rows *sql.Rows) error {
			var d ban.Decision
			err := rows.Scan(scanInto(&d.Prefix), scanInto(&d.UUID), &d.ID)
			m.Sample = append(m.Sample, d)
			return err
		}, `SELECT prefix, uuid, lapi_id FROM (SELECT prefix, uuid, lapi_id, ROW_NUMBER() OVER (ORDER BY decision.id) AS n
			FROM decision JOIN ban ON ban.id = decision.ban WHERE (missed_twice & ?4) <> 0 AND decision.until > ?1)
			AS numbered WHERE n % ?2 = 0 LIMIT ?3`, now.UnixMilli(), step, sampleSize, l.machine.Load())
	})
	return m, l.explain(err, "look for missing decisions")
}

// EndMissing removes the decisions that two full reads in a row lacked. A decision that another machine delivered too stays.
func (l *Ledger) EndMissing(ctx context.Context, now time.Time, limit int) (Recorded, error) {
	remove := func(b *storedBan) {
		b.removeSource(l.machine.Load(), func(d *storedDecision) bool { return d.missedTwice&l.machine.Load() != 0 })
	}
	all, err := l.changeEach(ctx, remove, now, limit,
		"SELECT DISTINCT prefix FROM decision JOIN ban ON ban.id = decision.ban WHERE (missed_twice & ?) <> 0", l.machine.Load())
	return all, l.explain(err, "end missing decisions")
}

// changeEach calls do for the bans that a query selects, and stores them.
func (l *Ledger) changeEach(ctx context.Context, do func(*storedBan), now time.Time, limit int,
	selection string, parameters ...any) (all Recorded, err error) {
	selected, err := l.prefixes(ctx, nil, selection, parameters...)
	if err != nil {
		return all, err
	}
	for some := range slices.Chunk(selected, chunk) {
		recorded, err := l.transact(ctx, now, limit, func(t *transaction) error {
			return t.update(ctx, some, func(bans map[netip.Prefix]*storedBan) {
				for _, b := range bans {
					do(b)
				}
			})
		})
		if err != nil {
			return all, err
		}
		all.Add(recorded)
	}
	return all, nil
}
