package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"
)

// Plan is what differs between the bans in force and what the appliance
// acknowledged, at one moment. Making one reads what differs, however many bans
// are in force.
type Plan struct {
	Block   []Standing     // not on the blacklist, or not for long enough; no more than one above Question.Few of them
	Blocks  int            // how many those are altogether
	Whole   bool           // Block names every ban in force, and they are no more than Question.Few
	Unblock []netip.Prefix // ended, and perhaps still on the blacklist
	Add     []netip.Prefix // in force, and not known to be in the appliance's files
	Remove  []netip.Prefix // ended, and perhaps in the files
	Mark    string         // what the appliance said its files were when a flush last wrote them; "": not known
	InForce int            // how many bans are in force
	Next    time.Time      // when the next ban ends; zero: none is in force
	Stale   bool           // the ledger holds what nobody needs any more: see Tidy
	Asked   bool           // somebody asked for everything to be blocked anew
	Target  Target         // what the ledger is about

	Flushed       time.Time // the last flush that went well; zero: none yet
	Confirmed     time.Time // when everything in force was last put on the blacklist, by the group or one by one; zero: never
	Asserted      time.Time // when it was by the group; zero: never
	AssertedUntil time.Time // until when the group's entries live

	now    int64
	change int64
	asked  int64 // the last request
}

// Standing is a ban in force.
type Standing struct {
	Prefix netip.Prefix
	Until  time.Time
}

// Due reports whether the appliance must be told something.
func (p Plan) Due() bool {
	return len(p.Block) > 0 || len(p.Unblock) > 0 || len(p.Add) > 0 || len(p.Remove) > 0 || len(p.Target.OldGroups) > 0
}

// Question is what a plan is asked for.
type Question struct {
	Now time.Time
	// Renew is until when an entry on the blacklist must last, or until its
	// ban's end if that comes first, to be left as it is.
	Renew time.Time
	// Few is how many bans may be blocked one by one. Of more than that Plan
	// names only so many that it shows, for then a group names them all.
	Few int
}

// The queries of a plan. Each goes through one end of an index, where what
// differs lies together: no cost of theirs grows with the bans in force. The +
// keeps SQLite from taking the index of until instead, in which those are.
const (
	queryUnlisted = "SELECT prefix, until, expires FROM ban WHERE written <= 0 AND +until > ?"
	// What flush `asserted` and those before it wrote is on the blacklist for
	// as long as the enforcer re-asserts it; only what came later has an entry
	// of its own to look at.
	queryUnasserted = "SELECT prefix, until, expires FROM ban WHERE written > ? AND +until > ?"
	queryEnded      = "SELECT prefix, written, expires FROM ban WHERE until <= ?"
	// Where the group cannot be named, every ban in force has an entry of its
	// own: ?4 is 0, or until when it must last.
	queryPending = `SELECT prefix, until, expires FROM ban WHERE +until > ?1 AND recorded <= ?2
		AND (expires < MIN(until, ?3) AND (written <= 0 OR written > ?5) OR ?4 > 0 AND expires < MAX(?4, MIN(until, ?3)))
		ORDER BY expires`
	queryNext = "SELECT until FROM ban WHERE until > ? ORDER BY until LIMIT 1"
)

// Plan compares.
func (l *Ledger) Plan(ctx context.Context, q Question) (Plan, error) {
	p := Plan{now: q.Now.UnixMilli()}
	err := l.read(ctx, func(tx *sql.Tx) error {
		facts, err := allFacts(ctx, tx)
		if err != nil {
			return err
		}
		p.change, p.asked, p.Mark = facts.number(factChanges), facts.number(factAsked), facts[factMark]
		p.Asked = p.asked > facts.number(factAnswered)
		trouble := facts.trouble()
		p.Stale = trouble.Count > 0 && !trouble.Warning // only a flush can see that a warning is over
		p.Flushed, p.Confirmed = facts.moment(factFlushed), facts.moment(factConfirmed)
		p.Asserted, p.AssertedUntil = facts.moment(factAsserted), facts.moment(factAssertedUntil)
		if p.Target, err = parseTarget(facts[factTarget]); err != nil {
			return err
		}
		if err := p.missing(ctx, tx, q, facts.number(factAssertedFlush)); err != nil {
			return err
		}
		ended, err := p.ended(ctx, tx)
		if err != nil {
			return err
		}
		p.InForce = int(facts.number(factRows)) - ended
		p.Whole = p.Blocks == p.InForce && p.Blocks <= q.Few
		var next int64
		err = tx.QueryRowContext(ctx, queryNext, p.now).Scan(&next)
		p.Next = moment(next)
		return ignoreNone(err)
	})
	if err != nil {
		return Plan{}, fmt.Errorf("compare the bans in %s: %w", l.path, err)
	}
	return p, nil
}

// missing finds what the files, and what the blacklist lacks.
func (p *Plan) missing(ctx context.Context, tx *sql.Tx, q Question, asserted int64) error {
	renew := q.Renew.UnixMilli()
	consider := func(prefix netip.Prefix, until, expires int64) {
		if expires >= min(until, renew) {
			return
		}
		if p.Blocks++; len(p.Block) <= q.Few {
			p.Block = append(p.Block, Standing{prefix, moment(until)})
		}
	}
	err := each(ctx, tx, func(prefix netip.Prefix, until, expires int64) {
		p.Add = append(p.Add, prefix)
		consider(prefix, until, expires)
	}, queryUnlisted, p.now)
	if err != nil {
		return err
	}
	return each(ctx, tx, consider, queryUnasserted, asserted, p.now)
}

// ended finds what is over, and how many rows that is.
func (p *Plan) ended(ctx context.Context, tx *sql.Tx) (rows int, err error) {
	err = each(ctx, tx, func(prefix netip.Prefix, written, expires int64) {
		rows++
		if written > 0 || expires > 0 {
			p.Unblock = append(p.Unblock, prefix)
		}
		if written != 0 {
			p.Remove = append(p.Remove, prefix)
		}
		p.Stale = p.Stale || written == 0 && expires == 0
	}, queryEnded, p.now)
	return rows, err
}

// Standing returns all bans in force when a plan was made. It may be hundreds
// of thousands: ask only when the appliance's files must be compared whole.
func (l *Ledger) Standing(ctx context.Context, p Plan) ([]netip.Prefix, error) {
	rows, err := l.db.QueryContext(ctx, "SELECT prefix FROM ban WHERE +until > ? AND recorded <= ?", p.now, p.change)
	if err == nil {
		var standing []netip.Prefix
		if standing, err = appendPrefixes(make([]netip.Prefix, 0, p.InForce), rows); err == nil {
			return standing, nil
		}
	}
	return nil, fmt.Errorf("read the bans in force from %s: %w", l.path, err)
}

// Pending returns the bans in force when a plan was made whose entry on the
// blacklist must be made or renewed, those without an entry first. They are
// those of Plan.Block, however many. If least is not zero, they are also all
// others whose own entry is not known to last until then.
func (l *Ledger) Pending(ctx context.Context, p Plan, q Question, least time.Time) ([]netip.Prefix, error) {
	var pending []netip.Prefix
	err := l.read(ctx, func(tx *sql.Tx) error {
		asserted, err := number(fact(ctx, tx, factAssertedFlush))
		if err != nil {
			return err
		}
		return each(ctx, tx, func(prefix netip.Prefix, _, _ int64) {
			pending = append(pending, prefix)
		}, queryPending, p.now, p.change, q.Renew.UnixMilli(), milliseconds(least), asserted)
	})
	if err != nil {
		return nil, fmt.Errorf("read the bans to block from %s: %w", l.path, err)
	}
	return pending, nil
}
