package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"
)

// Refusal is a ban in force that may not be blocked as a whole.
type Refusal struct {
	Prefix netip.Prefix
	Parts  []netip.Prefix // the parts that stay banned
	Reason error          // why there are no parts
}

// Refuse ends the bans in force that may not be blocked as a whole, for example
// because a changed configuration protects an address. admit returns the parts of a
// prefix that may be blocked: these stay banned until the end of the whole ban.
func (l *Ledger) Refuse(ctx context.Context, admit func(netip.Prefix) ([]netip.Prefix, error), now time.Time) ([]Refusal, error) {
	standing, err := prefixes(l.db.QueryContext(ctx, "SELECT prefix FROM ban WHERE until > ?", now.UnixMilli()))
	if err != nil {
		return nil, fmt.Errorf("look for bans that the configuration refuses in %s: %w", l.path, err)
	}
	var refused []Refusal
	for _, p := range standing {
		parts, err := admit(p)
		if err != nil || len(parts) != 1 || parts[0] != p {
			refused = append(refused, Refusal{Prefix: p, Parts: parts, Reason: err})
		}
	}
	if len(refused) == 0 {
		return nil, nil
	}
	err = l.write(ctx, func(tx *sql.Tx) error {
		r, err := l.newRecorder(ctx, tx)
		if err != nil {
			return err
		}
		r.change++
		for _, one := range refused {
			if err := r.split(ctx, one, now); err != nil {
				return err
			}
		}
		return r.finish(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("end bans that the configuration refuses in %s: %w", l.path, err)
	}
	return refused, nil
}

// split records the parts of a ban as bans of the same decision, and ends it.
func (r *recorder) split(ctx context.Context, one Refusal, now time.Time) error {
	if len(one.Parts) > 0 {
		if err := r.recordParts(ctx, one, now); err != nil {
			return err
		}
	}
	_, err := r.tx.ExecContext(ctx, "UPDATE ban SET until = ?1 WHERE until > ?1 AND prefix = ?2", now.UnixMilli(), one.Prefix.String())
	return err
}

// recordParts is the first half of split. The parameters of the statements are now,
// the time before which an end is soon, the number of the change, the prefix and its
// parts.
func (r *recorder) recordParts(ctx context.Context, one Refusal, now time.Time) error {
	const parts = `INSERT INTO ban (prefix, until, local, recorded, origin, scenario, heard, heard_at, alerted, listed, found)
		SELECT part.value, until, local, ?3, origin, scenario, heard, heard_at, alerted, listed, found
		FROM ban, json_each(?5) AS part WHERE ban.prefix = ?4 AND until > ?1 ON CONFLICT (prefix) `
	parameters := []any{now.UnixMilli(), now.Add(soon).UnixMilli(), r.change, one.Prefix.String(), list(one.Parts)}
	added, err := affected(r.tx.ExecContext(ctx, parts+"DO NOTHING", parameters...))
	if err != nil {
		return err
	}
	r.rows += added
	// A part that is banned by itself stands until the later of the two ends. One
	// that has ended, or is about to, may be taken off right now: see orRevive.
	_, err = r.tx.ExecContext(ctx, parts+`DO UPDATE SET until = excluded.until, origin = excluded.origin, scenario = excluded.scenario,
		local = MAX(local, excluded.local), heard = excluded.heard, heard_at = excluded.heard_at,
		alerted = excluded.alerted, listed = excluded.listed, found = excluded.found,
		recorded = CASE WHEN ban.until > ?2 THEN recorded ELSE excluded.recorded END,
		written = CASE WHEN ban.until > ?2 THEN written ELSE -1 END, expires = CASE WHEN ban.until > ?2 THEN expires ELSE 1 END
		WHERE excluded.until > ban.until`, parameters...)
	return err
}
