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

// FullRead is one read of everything that the Local API lists. It knows which of the ledger's decisions were in it.
type FullRead struct {
	last int64 // the decision that was recorded last before the read began
	seen bits
}

// BeginFullRead begins a full read. The caller calls it before it asks the Local API.
func (l *Ledger) BeginFullRead(ctx context.Context) (*FullRead, error) {
	r := &FullRead{}
	if err := l.db.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM decision").Scan(&r.last); err != nil {
		return nil, fmt.Errorf("begin to read the Local API's list into %s: %w", l.path, err)
	}
	return r, nil
}

// List stores decisions that the Local API lists: of a full read r, or with nil of another answer.
func (l *Ledger) List(ctx context.Context, r *FullRead, decisions []ban.Decision, now time.Time, limit int) (Recorded, error) {
	seen := func(int64) {}
	if r != nil {
		seen = r.seen.set
	}
	recorded, err := l.change(ctx, now, limit, func(c *change) error { return c.arrive(ctx, decisions, seen) })
	if err != nil {
		return Recorded{}, fmt.Errorf("record %d listed decisions in %s: %w", len(decisions), l.path, err)
	}
	return recorded, nil
}

// Unlist removes decisions that the Local API lists as deleted.
func (l *Ledger) Unlist(ctx context.Context, decisions []ban.Decision, now time.Time, limit int) (Recorded, error) {
	var all Recorded
	for some := range slices.Chunk(decisions, chunk) {
		recorded, err := l.change(ctx, now, limit, func(c *change) error {
			bans, err := load(ctx, c.tx, prefixesOf(some))
			if err != nil {
				return err
			}
			var removed []int64
			for i := range some {
				if s := bans[some[i].Prefix]; s != nil {
					removed = append(removed, s.removeOne(some[i])...)
				}
			}
			return c.remove(ctx, bans, removed)
		})
		if err != nil {
			return all, fmt.Errorf("end %d decisions that are listed no more in %s: %w", len(some), l.path, err)
		}
		all.add(recorded)
	}
	return all, nil
}

// removeOne removes the decision that the Local API reports as deleted. It compares no ends: the report of a deletion
// carries another end.
func (s *stored) removeOne(deleted ban.Decision) []int64 {
	return s.remove(func(d *decision) bool {
		if d.uuid != (ban.UUID{}) && deleted.UUID != (ban.UUID{}) {
			return d.uuid == deleted.UUID
		}
		return d.number != 0 && d.number == deleted.ID
	})
}

// remove writes bans of which decisions were removed, and deletes the rows of these.
func (c *change) remove(ctx context.Context, bans map[netip.Prefix]*stored, removed []int64) error {
	if err := c.store(ctx, bans); err != nil {
		return err
	}
	return c.delete(ctx, removed)
}

// Missing are decisions that two full reads in a row lacked.
type Missing struct {
	Count  int
	Sample []ban.Decision // UUID, ID and Prefix of some of them, spread over all
}

// sampleSize is how many decisions a sample has at most.
const sampleSize = 8

// EndFullRead records a full read that ended well. It counts for each decision how many full reads in a row lacked it.
// covered reports whether the query of the read selects a decision; others are not missing. lacked is how many decisions
// this read lacked.
func (l *Ledger) EndFullRead(ctx context.Context, r *FullRead, covered func(prefix netip.Prefix, origin, scenario string) bool) (lacked int, err error) {
	var absent []int64
	err = l.read(ctx, func(tx *sql.Tx) error {
		return query(ctx, tx, func(rows *sql.Rows) error {
			var id int64
			var prefix, origin, scenario string
			if err := rows.Scan(&id, &prefix, &origin, &scenario); err != nil || r.seen.has(id) {
				return err
			}
			p, err := netip.ParsePrefix(prefix)
			if err == nil && covered(p, origin, scenario) {
				absent = append(absent, id)
			}
			return err
		}, `SELECT decision.id, prefix, origin, scenario FROM decision JOIN ban ON ban.id = decision.ban
			WHERE decision.id <= ? AND type <> ?`, r.last, foundType)
	})
	if err == nil {
		err = inChunks(ctx, l, absent, func(tx *sql.Tx, ids []int64) error {
			_, err := tx.ExecContext(ctx, "UPDATE decision SET missing = missing + 1 WHERE id IN (SELECT value FROM json_each(?))", numbers(ids))
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("look for decisions that are listed no more in %s: %w", l.path, err)
	}
	return len(absent), nil
}

// Missing returns the decisions that two full reads in a row lacked.
func (l *Ledger) Missing(ctx context.Context, now time.Time) (m Missing, err error) {
	err = l.read(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM decision WHERE missing >= 2 AND until > ?", now.UnixMilli()).Scan(&m.Count); err != nil || m.Count == 0 {
			return err
		}
		step := max(m.Count/sampleSize, 1)
		return query(ctx, tx, func(rows *sql.Rows) error {
			var d ban.Decision
			var prefix string
			var uuid sql.RawBytes
			err := rows.Scan(&prefix, &uuid, &d.ID)
			if err == nil {
				copy(d.UUID[:], uuid)
				d.Prefix, err = netip.ParsePrefix(prefix)
			}
			m.Sample = append(m.Sample, d)
			return err
		}, `SELECT prefix, uuid, number FROM (SELECT prefix, uuid, number, ROW_NUMBER() OVER (ORDER BY decision.id) AS n
			FROM decision JOIN ban ON ban.id = decision.ban WHERE missing >= 2 AND decision.until > ?1) WHERE n % ?2 = 0 LIMIT ?3`,
			now.UnixMilli(), step, sampleSize)
	})
	if err != nil {
		return Missing{}, fmt.Errorf("look for decisions that are listed no more in %s: %w", l.path, err)
	}
	return m, nil
}

// EndMissing removes the decisions that two full reads in a row lacked.
func (l *Ledger) EndMissing(ctx context.Context, now time.Time, limit int) (Recorded, error) {
	all, err := l.removeWhere(ctx, "missing >= 2", now, limit)
	if err != nil {
		return all, fmt.Errorf("end decisions that are listed no more in %s: %w", l.path, err)
	}
	return all, nil
}

// Expire removes decisions that are over, so that a ban of several decisions has the class of those that remain.
func (l *Ledger) Expire(ctx context.Context, now time.Time, limit int) error {
	over := false
	if err := l.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM decision WHERE until <= ?)", now.UnixMilli()).Scan(&over); err != nil || !over {
		return err
	}
	if _, err := l.removeWhere(ctx, fmt.Sprintf("until <= %d", now.UnixMilli()), now, limit); err != nil {
		return fmt.Errorf("remove decisions that are over from %s: %w", l.path, err)
	}
	return nil
}

// removeWhere removes the decisions that a condition selects, some in each transaction.
func (l *Ledger) removeWhere(ctx context.Context, condition string, now time.Time, limit int) (all Recorded, err error) {
	selection := "SELECT id, ban FROM decision WHERE " + condition + " LIMIT ?"
	for more := true; more; {
		recorded, err := l.change(ctx, now, limit, func(c *change) error {
			selected := map[int64]bool{}
			var of []int64
			if err := query(ctx, c.tx, func(rows *sql.Rows) error {
				var id, owner int64
				err := rows.Scan(&id, &owner)
				selected[id] = true
				of = append(of, owner)
				return err
			}, selection, chunk); err != nil {
				return err
			}
			more = len(selected) == chunk
			if len(selected) == 0 {
				return nil
			}
			of = slices.Compact(slices.Sorted(slices.Values(of)))
			affected, err := prefixes(c.tx.QueryContext(ctx, "SELECT prefix FROM ban WHERE id IN (SELECT value FROM json_each(?))", numbers(of)))
			if err != nil {
				return err
			}
			bans, err := load(ctx, c.tx, affected)
			if err != nil {
				return err
			}
			var removed []int64
			for _, s := range bans {
				removed = append(removed, s.remove(func(d *decision) bool { return selected[d.id] })...)
			}
			return c.remove(ctx, bans, removed)
		})
		if err != nil {
			return all, err
		}
		all.add(recorded)
	}
	return all, nil
}

// bits is a set of small numbers.
type bits []uint64

func (b *bits) set(n int64) {
	if word := int(n / 64); word >= len(*b) {
		*b = append(*b, make([]uint64, max(word+1-len(*b), len(*b)))...)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b bits) has(n int64) bool { return int(n/64) < len(b) && b[n/64]&(1<<(n%64)) != 0 }
