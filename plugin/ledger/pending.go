package ledger

import (
	"context"
	"database/sql"
	"math"
	"net/netip"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
)

// The queries of a plan. Except for queryPending, each reads one end of an index, so its cost does not grow with the bans in
// force. The + keeps SQLite from choosing the index of until.
const (
	queryUnlisted = "SELECT prefix, until, expires, written, class FROM ban WHERE written <= 0 AND until > 0 AND +until > ?1"
	// The bans that flush `asserted` and earlier flushes wrote have the entries of the re-assert, which the enforcer renews.
	// Only bans that later flushes wrote need entries of their own.
	queryUnasserted = "SELECT prefix, until, expires, written, class FROM ban WHERE written > ?2 AND until > 0 AND +until > ?1"
	queryGone       = `SELECT prefix, until, expires, written, class FROM ban WHERE until > 0 AND until <= ?1 AND (written <> 0 OR expires <> 0)
		UNION ALL SELECT prefix, until, expires, written, class FROM ban WHERE until = 0 AND (written <> 0 OR expires <> 0)`
	queryEnded = "SELECT COUNT(*) AS ended, COUNT(*) FILTER (WHERE written = 0 AND expires = 0) AS done FROM ban WHERE until > 0 AND until <= ?1"
	// In a re-assert one by one, every ban in force needs an entry of its own that lasts until ?4. Otherwise ?4 is 0. Bans without an
	// entry come first, and of these the last attackers.
	queryPending = `SELECT 1 AS kind, prefix, until, expires, written, class FROM ban WHERE until > 0 AND +until > ?1 AND change <= ?2
		AND (expires < MIN(until, ?3) AND (written <= 0 OR written > ?5) OR ?4 > 0 AND expires < MAX(?4, MIN(until, ?3)))
		ORDER BY expires, class, newest DESC`
	queryNext         = "SELECT until FROM ban WHERE until > 0 AND until > ?1 ORDER BY until LIMIT 1"
	queryNextDecision = "SELECT next FROM ban WHERE next > 0 AND next > ?1 ORDER BY next LIMIT 1"

	// These put several queries together, because each is a round trip on a shared state.
	queryFacts = "SELECT " + flushingColumns + `, ended, done,
		(SELECT count > 0 AND warning = 0 FROM trouble WHERE part = ?2), (SELECT count > 0 AND warning = 0 FROM trouble WHERE part = ?3),
		COALESCE((` + queryNext + "), 0), COALESCE((" + queryNextDecision + "), 0) FROM flushing CROSS JOIN (" + queryEnded + ") AS counted"
	queryDifferences = "SELECT 1 AS kind, * FROM (" + queryUnlisted + ") AS unlisted UNION ALL SELECT 2, * FROM (" + queryUnasserted +
		") AS unasserted UNION ALL SELECT 3, * FROM (" + queryGone + ") AS gone"
)

// findPending finds the bans in force that the files or the blacklist lack, and other bans that the appliance may still have. asserted is
// the last flush by group whose entries last until q.Renew.
func (p *Plan) findPending(ctx context.Context, tx *sql.Tx, q PlanOptions, asserted int64) error {
	renew, most := q.Renew.UnixMilli(), q.SingleMax+1
	if q.OneByOne {
		most = maxOneByOne
	}
	consider := func(b pendingBan) {
		if b.expires >= min(b.until, renew) || p.Target.WithoutBlacklist {
			return
		}
		if p.BlockCount++; len(p.Block) < most {
			p.Block = append(p.Block, appliance.Ban{Prefix: b.prefix, Until: timeOf(b.until)})
		}
		if q.Cut && b.class == ban.Local && b.expires <= maybeBlocked && b.prefix.IsSingleIP() {
			p.Cut = append(p.Cut, b.prefix)
		}
	}
	if q.OneByOne && !p.Target.WithoutBlacklist {
		err := eachPending(ctx, tx, func(b pendingBan) {
			if b.prefix.IsSingleIP() || b.written > 0 {
				consider(b)
			}
		}, queryPending, p.now, p.change, renew, 0, asserted)
		if err != nil {
			return err
		}
		return eachPending(ctx, tx, p.addGone, "SELECT 3 AS kind, * FROM ("+queryGone+") AS gone", p.now)
	}
	if p.Target.WithoutBlacklist {
		asserted = math.MaxInt64 // no ban needs an entry
	}
	return eachPending(ctx, tx, func(b pendingBan) {
		switch b.kind {
		case 1:
			p.Add = append(p.Add, b.prefix)
			consider(b)
		case 2:
			consider(b)
		case 3:
			p.addGone(b)
		}
	}, queryDifferences, p.now, asserted)
}

// addGone adds a ban that is not in force and that the appliance may still have.
func (p *Plan) addGone(b pendingBan) {
	if p.Target.WithoutBlacklist && p.EntriesLeft || !p.Target.WithoutBlacklist && b.written > 0 || b.expires > 0 {
		p.Unblock = append(p.Unblock, b.prefix)
	}
	if b.written != 0 {
		p.Remove = append(p.Remove, b.prefix)
	}
}

// pendingBan is a ban that the appliance lacks, or may still have.
type pendingBan struct {
	kind                    int // the part of queryDifferences
	prefix                  netip.Prefix
	until, expires, written int64
	class                   ban.Class
}

func eachPending(ctx context.Context, tx *sql.Tx, do func(pendingBan), text string, parameters ...any) error {
	return query(ctx, tx, func(rows *sql.Rows) error {
		var b pendingBan
		err := rows.Scan(&b.kind, scanInto(&b.prefix), &b.until, &b.expires, &b.written, &b.class)
		if err == nil {
			do(b)
		}
		return err
	}, text, parameters...)
}
