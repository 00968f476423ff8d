package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// More facts of a ledger.
const (
	factFlushes       = "flushes"        // number of the last flush
	factFlushed       = "flushed"        // when it was
	factAsserted      = "asserted"       // when everything was last put on the blacklist
	factAssertedFlush = "asserted_flush" // the flush that did so
	factAssertedUntil = "asserted_until" // how long those entries live
)

// unblocked stands in ban.written for a ban that is off the blacklist but may
// be in the files; 0 is one that is not in the files, n > 0 one that flush n
// wrote.
const unblocked = -1

// Plan is what differs between the bans in force and what the appliance
// acknowledged, at one moment.
type Plan struct {
	Block    []Standing     // not on the blacklist, or not for long enough; no more than one above Question.Few of them
	Blocks   int            // how many those are altogether
	Unblock  []netip.Prefix // ended, and perhaps still on the blacklist
	Untidy   bool           // the files name bans that have ended
	Standing []netip.Prefix // all bans in force; only loaded if there is something to do
	Next     time.Time      // when the next ban ends; zero: none is in force
	Stale    bool           // the ledger holds what nobody needs any more: see Tidy

	Flushed       time.Time // the last flush that went well; zero: none yet
	Asserted      time.Time // when everything was last put on the blacklist; zero: never
	AssertedUntil time.Time // until when those entries live

	now    int64
	change int64
}

// Standing is a ban in force.
type Standing struct {
	Prefix netip.Prefix
	Until  time.Time
}

// Due reports whether the appliance must be told something.
func (p Plan) Due() bool { return len(p.Block) > 0 || len(p.Unblock) > 0 || p.Untidy }

// Question is what a plan is asked for.
type Question struct {
	Now time.Time
	// Renew is until when an entry on the blacklist must last, or until its
	// ban's end if that comes first, to be left as it is.
	Renew time.Time
	// Few is how many bans may be blocked one by one. Of more than that Plan
	// names only so many that it shows, for then a group names them all.
	Few int
	// All loads Standing even if nothing differs.
	All bool
}

// Plan compares.
func (l *Ledger) Plan(ctx context.Context, q Question) (Plan, error) {
	p := Plan{now: q.Now.UnixMilli()}
	err := l.read(ctx, func(tx *sql.Tx) error {
		facts, err := allFacts(ctx, tx)
		if err != nil {
			return err
		}
		p.change = facts[factChanges]
		p.Flushed, p.Asserted, p.AssertedUntil = moment(facts[factFlushed]), moment(facts[factAsserted]), moment(facts[factAssertedUntil])
		if err := p.difference(ctx, tx, q, facts[factAssertedFlush]); err != nil {
			return err
		}
		var next sql.NullInt64
		if err := tx.QueryRowContext(ctx, "SELECT MIN(until) FROM ban WHERE until > ?", p.now).Scan(&next); err != nil {
			return err
		}
		p.Next = moment(next.Int64)
		if !p.Due() && !q.All {
			return nil
		}
		return p.stand(ctx, tx)
	})
	if err != nil {
		return Plan{}, fmt.Errorf("compare the bans in %s: %w", l.path, err)
	}
	return p, nil
}

// stand loads what is in force, at once into a slice of the right size: it may
// be hundreds of thousands.
func (p *Plan) stand(ctx context.Context, tx *sql.Tx) error {
	var standing int
	if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM ban WHERE until > ?", p.now).Scan(&standing); err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, "SELECT prefix FROM ban WHERE until > ?", p.now)
	if err != nil {
		return err
	}
	p.Standing, err = appendPrefixes(make([]netip.Prefix, 0, standing), rows)
	return err
}

func (p *Plan) difference(ctx context.Context, tx *sql.Tx, q Question, asserted int64) error {
	// What flush `asserted` and those before it wrote is on the blacklist for
	// as long as the enforcer re-asserts it; only what came later has an entry
	// of its own to look at. The + keeps SQLite from going through everything
	// in force, which the index of until would name.
	rows, err := tx.QueryContext(ctx, `SELECT prefix, until FROM ban
		WHERE (written = 0 OR written > ?) AND +until > ? AND expires < MIN(until, ?)`, asserted, p.now, q.Renew.UnixMilli())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var until int64
		prefix, err := scanPrefix(rows, &until)
		if err != nil {
			return err
		}
		if p.Blocks++; len(p.Block) <= q.Few {
			p.Block = append(p.Block, Standing{prefix, moment(until)})
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	p.Unblock, err = prefixes(tx.QueryContext(ctx,
		"SELECT prefix FROM ban WHERE until <= ? AND (written > 0 OR expires > 0)", p.now))
	if err != nil {
		return err
	}
	return tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM ban WHERE until <= ?1 AND written = -1),
		EXISTS (SELECT 1 FROM ban WHERE until <= ?1 AND written = 0 AND expires = 0)`,
		p.now).Scan(&p.Untidy, &p.Stale)
}

// Status is what a ledger says about its appliance.
type Status struct {
	InForce       int
	Flushed       time.Time // the last flush; zero: none yet
	Asserted      time.Time // when everything was last put on the blacklist; zero: never
	AssertedUntil time.Time // until when those entries live
}

// Status reads it.
func (l *Ledger) Status(ctx context.Context, now time.Time) (Status, error) {
	var s Status
	err := l.read(ctx, func(tx *sql.Tx) error {
		facts, err := allFacts(ctx, tx)
		if err != nil {
			return err
		}
		s.Flushed, s.Asserted, s.AssertedUntil = moment(facts[factFlushed]), moment(facts[factAsserted]), moment(facts[factAssertedUntil])
		return tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM ban WHERE until > ?", now.UnixMilli()).Scan(&s.InForce)
	})
	if err != nil {
		return Status{}, fmt.Errorf("read %s: %w", l.path, err)
	}
	return s, nil
}

// Forget takes note that nothing of ours is on the appliance any more: bans
// in force are owed again, and ended ones are done with.
func (l *Ledger) Forget(ctx context.Context, now time.Time) error {
	err := l.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM ban WHERE until <= ?", now.UnixMilli()); err != nil {
			return err
		}
		for _, statement := range []string{
			"DELETE FROM decision WHERE prefix NOT IN (SELECT prefix FROM ban)",
			"UPDATE ban SET written = 0, expires = 0",
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		var rows int64
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM ban").Scan(&rows); err != nil {
			return err
		}
		return setFacts(ctx, tx, map[string]int64{factRows: rows, factAsserted: 0, factAssertedFlush: 0, factAssertedUntil: 0})
	})
	if err != nil {
		return fmt.Errorf("record the clean-up in %s: %w", l.path, err)
	}
	return nil
}

// allFacts returns the facts that are numbers.
func allFacts(ctx context.Context, q *sql.Tx) (map[string]int64, error) {
	rows, err := q.QueryContext(ctx, "SELECT name, value FROM fact")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	facts := map[string]int64{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			facts[name] = n
		}
	}
	return facts, rows.Err()
}

func setFacts(ctx context.Context, tx *sql.Tx, facts map[string]int64) error {
	for name, value := range facts {
		if err := setFact(ctx, tx, name, strconv.FormatInt(value, 10)); err != nil {
			return err
		}
	}
	return nil
}

// Written returns the prefixes that may be on the appliance's blacklist or in
// its files.
func (l *Ledger) Written(ctx context.Context) ([]netip.Prefix, error) {
	written, err := prefixes(l.db.QueryContext(ctx, "SELECT prefix FROM ban WHERE written <> 0 OR expires > 0"))
	if err != nil {
		return nil, fmt.Errorf("read what was written in %s: %w", l.path, err)
	}
	return written, nil
}
