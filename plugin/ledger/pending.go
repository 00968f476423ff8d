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
	// A ban in force is in the result if the files lack it, or if a flush after ?2 wrote it to them: earlier ones have the entries of the
	// re-assert, which the enforcer renews. If ?4 is 0, no ban in force is in the result. A ban that waits is in it if the appliance may
	// have it. settle explains ?3.
	queryLooked = `SELECT prefix, until, expires, written, class FROM ban WHERE look > ?3 AND
		(+until > ?1 AND ?4 <> 0 AND (written <= 0 OR written > ?2) OR +until = 0 AND (written <> 0 OR expires <> 0))`
	queryGone  = "SELECT prefix, until, expires, written, class FROM ban WHERE until > 0 AND until <= ?1 AND (written <> 0 OR expires <> 0)"
	queryEnded = "SELECT COUNT(*) AS ended, COUNT(*) FILTER (WHERE written = 0 AND expires = 0) AS done FROM ban WHERE until > 0 AND until <= ?1"
	// In a re-assert one by one, every ban in force needs an entry of its own that lasts until ?4. Otherwise ?4 is 0. Bans without an
	// entry come first, and of these the last attackers.
	queryPending = `SELECT prefix, until, expires, written, class FROM ban WHERE until > 0 AND +until > ?1 AND change <= ?2
		AND (expires < MIN(until, ?3) AND (written <= 0 OR written > ?5) OR ?4 > 0 AND expires < MAX(?4, MIN(until, ?3)))
		ORDER BY expires, class, newest DESC`
	queryNext         = "SELECT until FROM ban WHERE until > 0 AND until > ?1 ORDER BY until LIMIT 1"
	queryNextDecision = "SELECT next FROM ban WHERE next > 0 AND next > ?1 ORDER BY next LIMIT 1"

	// These put several queries together, because each is a round trip on a shared state.
	queryFacts = "SELECT " + flushingColumns + `, ended, done,
		(SELECT count > 0 AND warning = 0 FROM trouble WHERE part = ?2), (SELECT count > 0 AND warning = 0 FROM trouble WHERE part = ?3),
		COALESCE((` + queryNext + "), 0), COALESCE((" + queryNextDecision + "), 0) FROM flushing CROSS JOIN (" + queryEnded + ") AS counted"
	queryDifferences = queryLooked + " UNION ALL " + queryGone
)

// findPending finds the bans in force that the files or the blacklist lack, and other bans that the appliance may still have.
func (p *Plan) findPending(ctx context.Context, tx *sql.Tx, q PlanOptions, f flushing) error {
	asserted, settled := f.lastingGroupFlush(q.Renew)
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
	inForce := 1
	switch {
	case p.Target.WithoutBlacklist:
		asserted, settled = math.MaxInt64, f.settled // no ban needs an entry
	case q.OneByOne:
		inForce = 0
		err := eachPending(ctx, tx, func(b pendingBan) {
			if b.prefix.IsSingleIP() || b.written > 0 {
				consider(b)
			}
		}, queryPending, p.now, p.change, renew, 0, asserted)
		if err != nil {
			return err
		}
	}
	return eachPending(ctx, tx, func(b pendingBan) {
		if b.until <= p.now {
			p.addGone(b)
			return
		}
		if b.written <= 0 {
			p.Add = append(p.Add, b.prefix)
		}
		consider(b)
	}, queryDifferences, p.now, asserted, settled, inForce)
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
	prefix                  netip.Prefix
	until, expires, written int64
	class                   ban.Class
}

func eachPending(ctx context.Context, tx *sql.Tx, do func(pendingBan), text string, parameters ...any) error {
	return query(ctx, tx, func(rows *sql.Rows) error {
		var b pendingBan
		err := rows.Scan(scanInto(&b.prefix), &b.until, &b.expires, &b.written, &b.class)
		if err == nil {
			do(b)
		}
		return err
	}, text, parameters...)
}
