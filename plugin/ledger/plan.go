package ledger

import (
	"context"
	"database/sql"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
)

// Plan is what was pending at one moment: the difference between the bans in force and the acknowledgements of the appliance.
type Plan struct {
	appliance.Pending           // Block has at most PlanOptions.SingleMax + 1 bans; with OneByOne at most maxOneByOne
	BlockCount        int       // how many bans must be blocked in all
	BlocksAll         bool      // Block has every ban in force, to be blocked one by one, and the files have no ended one
	Unsure            bool      // the whole files must be compared: a flush that changes them was cut, or leftovers were not unblocked
	Waiting           int       // how many bans wait because there are more than the limit
	Next              time.Time // when the next ban ends; zero: none is in force
	NextDecision      time.Time // when the next decision ends, after which other bans may wait; zero: none waits
	NeedsTidy         bool      // Tidy has something to do
	Requested         bool      // somebody asked for a flush that blocks everything again
	Target            Target    // the appliance and the groups that the acknowledgements are about

	Compared      time.Time // when the files were last compared with the bans in force; zero: never
	Flushed       time.Time // the last flush that ended well; zero: none yet
	Confirmed     time.Time // when everything in force was last blocked, by the group or one by one; zero: never
	Asserted      time.Time // when everything in force was last blocked by the group; zero: never
	Stale         time.Time // since when the running filter rule may lack changes of the files; zero: it lacks none
	Activated     time.Time // when a flush last began to activate the filter rule; zero: never
	AssertedUntil time.Time // when the group's entries end

	now       int64
	change    int64 // the last change
	request   int64 // the last request for a flush
	singleMax int

	endsFilesFailure bool // nothing needs the files any more
}

// HasPending reports whether a flush is due. Without a filter rule, a difference in the files is no reason for one: the files follow
// with the next flush that needs them.
func (p Plan) HasPending() bool {
	return p.Unsure || len(p.Block) > 0 || len(p.Unblock) > 0 || p.hasOldGroups() || p.mustWrite() || p.EntriesLeft
}

// mustWrite reports whether the files lack a change that the filter rule needs.
func (p Plan) mustWrite() bool { return p.Target.ByRule && p.FilesDiffer() }

// NeedsFiles reports whether the pending changes need the files. They do if they are too many, if a range must be blocked, if the
// files must be compared, if old groups must be removed, or if a filter rule needs the changes.
func (p Plan) NeedsFiles() bool {
	return p.Unsure || p.hasOldGroups() || p.mustWrite() || p.EntriesLeft || p.BlockCount > p.singleMax || len(p.Unblock) > p.singleMax ||
		slices.ContainsFunc(p.Block, func(b appliance.Ban) bool { return !b.Prefix.IsSingleIP() })
}

// hasOldGroups reports whether the files may have old groups, which must be removed.
func (p Plan) hasOldGroups() bool { return p.Target.HasFiles() && len(p.Target.OldGroups) > 0 }

// needsFilesLater reports whether a later flush still needs the files, also if nothing is pending.
func (p Plan) needsFilesLater() bool {
	return p.Compared.IsZero() || p.InForce+len(p.Remove) > 0 || p.Unsure || p.hasOldGroups()
}

// FilesDiffer reports whether the files may lack a ban in force, or have one that ended or waits.
func (p Plan) FilesDiffer() bool { return p.Target.HasFiles() && len(p.Add)+len(p.Remove) > 0 }

// PlanOptions says when a plan is made, and how the flush blocks.
type PlanOptions struct {
	Now time.Time
	// Renew is until when an entry on the blacklist must last. An entry that ends earlier, and before its ban, is pending.
	Renew time.Time
	// SingleMax is how many bans may be blocked one by one. If there are more, a group blocks them all.
	SingleMax int
	// OneByOne says that the flush leaves the files as they are. Then Plan.Block has no range that the files lack, the most urgent ban
	// comes first, and Plan.Add is empty.
	OneByOne bool
	// Cut says that Plan.Cut lists the addresses of class [ban.Local] that have no entry yet.
	Cut bool
}

// maxOneByOne is how many bans a flush without the files blocks. The next flush goes on.
const maxOneByOne = 2000

// The queries of a plan. Except for queryPending, each reads one end of an index, so its cost does not grow with the bans in
// force. The + keeps SQLite from choosing the index of until.
const (
	queryUnlisted = "SELECT prefix, until, expires, written, class FROM ban WHERE written <= 0 AND until > 0 AND +until > ?"
	// The bans that flush `asserted` and earlier flushes wrote have the entries of the re-assert, which the enforcer renews.
	// Only bans that later flushes wrote need entries of their own.
	queryUnasserted = "SELECT prefix, until, expires, written, class FROM ban WHERE written > ? AND until > 0 AND +until > ?"
	queryGone       = `SELECT prefix, written, expires FROM ban WHERE until > 0 AND until <= ? AND (written <> 0 OR expires <> 0)
		UNION ALL SELECT prefix, written, expires FROM ban WHERE until = 0 AND (written <> 0 OR expires <> 0)`
	queryEnded = "SELECT COUNT(*), COUNT(*) FILTER (WHERE written = 0 AND expires = 0) FROM ban WHERE until > 0 AND until <= ?"
	// In a re-assert one by one, every ban in force needs an entry of its own that lasts until ?4. Otherwise ?4 is 0. Bans without an
	// entry come first, and of these the last attackers.
	queryPending = `SELECT prefix, until, expires, written, class FROM ban WHERE until > 0 AND +until > ?1 AND change <= ?2
		AND (expires < MIN(until, ?3) AND (written <= 0 OR written > ?5) OR ?4 > 0 AND expires < MAX(?4, MIN(until, ?3)))
		ORDER BY expires, class, newest DESC`
	queryNext         = "SELECT until FROM ban WHERE until > 0 AND until > ? ORDER BY until LIMIT 1"
	queryNextDecision = "SELECT next FROM ban WHERE next > 0 AND next > ? ORDER BY next LIMIT 1"
)

// Plan compares the bans in force with what the appliance acknowledged.
func (l *Ledger) Plan(ctx context.Context, q PlanOptions) (Plan, error) {
	p := Plan{now: q.Now.UnixMilli(), singleMax: q.SingleMax}
	err := l.read(ctx, func(tx *sql.Tx) error {
		f, err := readFlushing(ctx, tx)
		if err != nil {
			return err
		}
		t, err := readTrouble(ctx, tx, WholeFlush)
		if err != nil {
			return err
		}
		p.change, p.request, p.Mark, p.Unsure, p.Target = f.changes, f.requested, f.mark, !f.unsure.IsZero(), f.target
		if p.Unsure {
			p.Mark = ""
		}
		p.Requested, p.NeedsTidy = f.requested > f.answered, t.Count > 0 && !t.Warning // only a flush finds out that a warning has ended
		p.Compared, p.Flushed = f.compared, f.flushed
		p.Confirmed, p.Asserted, p.AssertedUntil = f.confirmed, f.asserted, f.assertedUntil
		p.EntriesLeft, p.Stale, p.Activated = f.entries, f.stale, f.activated
		if p.Target.ByRule && p.Stale.IsZero() {
			p.Stale = f.unsure // a flush that was cut may have changed the files
		}
		if err := p.findMissing(ctx, tx, q, f.lastingGroupFlush(q.Renew)); err != nil {
			return err
		}
		ended, err := p.findGone(ctx, tx)
		if err != nil {
			return err
		}
		p.InForce, p.Waiting = f.bans-f.waiting-ended, f.waiting
		files, err := readTrouble(ctx, tx, Files)
		if err != nil {
			return err
		}
		p.endsFilesFailure = files.Count > 0 && !files.Warning && !p.needsFilesLater()
		p.NeedsTidy = p.NeedsTidy || p.endsFilesFailure
		p.BlocksAll = len(p.Block) == p.InForce && (q.OneByOne || p.InForce <= q.SingleMax) && len(p.Remove) == 0
		if p.Next, err = readFirst(ctx, tx, queryNext, p.now); err == nil && p.Waiting > 0 {
			p.NextDecision, err = readFirst(ctx, tx, queryNextDecision, p.now)
		}
		return err
	})
	return p, l.explain(err, "compare the bans")
}

// readFirst returns the time in the first row of a result; zero: there is no row.
func readFirst(ctx context.Context, tx *sql.Tx, text string, now int64) (t time.Time, err error) {
	err = tx.QueryRowContext(ctx, text, now).Scan(scanInto(&t))
	return t, ignoreNoRows(err)
}

// findMissing finds the bans in force that the files or the blacklist lack. asserted is the last flush by group whose entries last
// until q.Renew.
func (p *Plan) findMissing(ctx context.Context, tx *sql.Tx, q PlanOptions, asserted int64) error {
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
		return eachPending(ctx, tx, func(b pendingBan) {
			if b.prefix.IsSingleIP() || b.written > 0 {
				consider(b)
			}
		}, queryPending, p.now, p.change, renew, 0, asserted)
	}
	err := eachPending(ctx, tx, func(b pendingBan) {
		p.Add = append(p.Add, b.prefix)
		consider(b)
	}, queryUnlisted, p.now)
	if err != nil || p.Target.WithoutBlacklist {
		return err
	}
	return eachPending(ctx, tx, consider, queryUnasserted, asserted, p.now)
}

// pendingBan is a ban in force that may need an entry.
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

// findGone finds the bans that are not in force and that the appliance may still have. It returns how many bans have ended.
func (p *Plan) findGone(ctx context.Context, tx *sql.Tx) (ended int, err error) {
	err = eachPrefix(ctx, tx, func(prefix netip.Prefix, written, expires int64) {
		if p.Target.WithoutBlacklist && p.EntriesLeft || !p.Target.WithoutBlacklist && written > 0 || expires > 0 {
			p.Unblock = append(p.Unblock, prefix)
		}
		if written != 0 {
			p.Remove = append(p.Remove, prefix)
		}
	}, queryGone, p.now)
	if err != nil {
		return 0, err
	}
	var done int
	err = tx.QueryRowContext(ctx, queryEnded, p.now).Scan(&ended, &done)
	p.NeedsTidy = p.NeedsTidy || done > 0
	return ended, err
}

// BansInForce returns all bans that were in force when a plan was made. There may be hundreds of thousands, so the enforcer
// calls it only to compare the whole files.
func (l *Ledger) BansInForce(ctx context.Context, p Plan) ([]netip.Prefix, error) {
	inForce, err := l.prefixes(ctx, make([]netip.Prefix, 0, p.InForce),
		"SELECT prefix FROM ban WHERE until > 0 AND until > ? AND change <= ?", p.now, p.change)
	return inForce, l.explain(err, "read the bans in force")
}

// BansWithEntry returns the bans, with their ends, that were in force when a plan was made and that may have an entry. The others are
// pending. It leaves out ranges that the files lack, because the appliance does not know their objects.
func (l *Ledger) BansWithEntry(ctx context.Context, p Plan) ([]appliance.Ban, error) {
	bans := make([]appliance.Ban, 0, p.InForce)
	err := l.read(ctx, func(tx *sql.Tx) error {
		return eachPrefix(ctx, tx, func(prefix netip.Prefix, until, written int64) {
			if prefix.IsSingleIP() || written > 0 {
				bans = append(bans, appliance.Ban{Prefix: prefix, Until: timeOf(until)})
			}
		}, `SELECT prefix, until, written FROM ban WHERE until > 0 AND until > ? AND change <= ? AND (expires > 0 OR written > 0)
			ORDER BY class, newest DESC`, p.now, p.change)
	})
	return bans, l.explain(err, "read the bans in force")
}

// BansToBlock returns all bans that must be blocked, also those for which Plan.Block has no room. Bans without an entry come
// first. If least is not zero, it also returns the other bans in force whose own entry may end before least.
func (l *Ledger) BansToBlock(ctx context.Context, p Plan, q PlanOptions, least time.Time) ([]netip.Prefix, error) {
	var pending []netip.Prefix
	err := l.read(ctx, func(tx *sql.Tx) error {
		f, err := readFlushing(ctx, tx)
		if err != nil {
			return err
		}
		return eachPending(ctx, tx, func(b pendingBan) { pending = append(pending, b.prefix) },
			queryPending, p.now, p.change, q.Renew.UnixMilli(), milliseconds(least), f.lastingGroupFlush(q.Renew))
	})
	return pending, l.explain(err, "read the bans to block")
}
