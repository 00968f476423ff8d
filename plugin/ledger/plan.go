package ledger

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"notification-stormshield/appliance"
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

// Plan compares the bans in force with what the appliance acknowledged.
func (l *Ledger) Plan(ctx context.Context, q PlanOptions) (Plan, error) {
	p := Plan{now: q.Now.UnixMilli(), singleMax: q.SingleMax}
	err := l.read(ctx, func(tx *sql.Tx) error {
		var f flushing
		var ended, done int
		var hasFailed, haveFilesFailed bool // only a flush finds out that a warning has ended
		err := tx.QueryRowContext(ctx, queryFacts, p.now, WholeFlush, Files).Scan(append(f.scanTargets(),
			&ended, &done, &hasFailed, &haveFilesFailed, scanInto(&p.Next), scanInto(&p.NextDecision))...)
		if err != nil {
			return err
		}
		p.change, p.request, p.Mark, p.Unsure, p.Target = f.changes, f.requested, f.mark, !f.unsure.IsZero(), f.target
		if p.Unsure {
			p.Mark = ""
		}
		p.Requested = f.requested > f.answered
		p.Compared, p.Flushed = f.compared, f.flushed
		p.Confirmed, p.Asserted, p.AssertedUntil = f.confirmed, f.asserted, f.assertedUntil
		p.EntriesLeft, p.Stale, p.Activated = f.entries, f.stale, f.activated
		if p.Target.ByRule && p.Stale.IsZero() {
			p.Stale = f.unsure // a flush that was cut may have changed the files
		}
		if err := p.findPending(ctx, tx, q, f); err != nil {
			return err
		}
		p.InForce, p.Waiting = f.bans-f.waiting-ended, f.waiting
		p.endsFilesFailure = haveFilesFailed && !p.needsFilesLater()
		p.NeedsTidy = hasFailed || done > 0 || p.endsFilesFailure
		p.BlocksAll = len(p.Block) == p.InForce && (q.OneByOne || p.InForce <= q.SingleMax) && len(p.Remove) == 0
		if p.Waiting == 0 {
			p.NextDecision = time.Time{}
		}
		return nil
	})
	return p, l.explain(err, "compare the bans")
}
