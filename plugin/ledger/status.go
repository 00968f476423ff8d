package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"
)

// Status is what a ledger says about its appliance.
type Status struct {
	InForce   int
	Lists     int       // of those, how many are of lists or were found on the appliance: no detection of this CrowdSec
	ToBlock   int       // in force, and not acknowledged by the appliance
	ToUnblock int       // ended, and perhaps still blocked
	Next      time.Time // when the next ban ends; zero: none is in force

	Flushed   time.Time // the last flush that went well; zero: none yet
	Confirmed time.Time // when everything in force was last put on the blacklist; zero: never
	Trouble   Trouble
	Read      time.Time // when the Local API's list was last read; zero: never
	Unread    time.Time // since when it cannot be; zero: it can
	UnreadWhy string
	LeftOut   int   // bans that were left out or evicted because they were too many, since the list was last read whole
	Answered  int64 // the last flush that somebody asked for and that went well
}

// Status reads it. It looks at every ban.
func (l *Ledger) Status(ctx context.Context, now time.Time) (Status, error) {
	var s Status
	err := l.read(ctx, func(tx *sql.Tx) error {
		facts, err := allFacts(ctx, tx)
		if err != nil {
			return err
		}
		s.Flushed, s.Confirmed, s.Answered = facts.moment(factFlushed), facts.moment(factConfirmed), facts.number(factAnswered)
		s.Trouble = facts.trouble()
		s.Read, s.Unread, s.UnreadWhy = facts.moment(factRead), facts.moment(factReadFails), facts[factReadWhy]
		s.LeftOut = int(facts.number(factLeftOut))
		var next sql.NullInt64
		err = tx.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(*) FILTER (WHERE local = 0),
			COUNT(*) FILTER (WHERE (written <= 0 OR written > ?2) AND expires <= ?1), MIN(until) FROM ban WHERE until > ?1`,
			now.UnixMilli(), facts.number(factAssertedFlush)).
			Scan(&s.InForce, &s.Lists, &s.ToBlock, &next)
		if err != nil {
			return err
		}
		s.Next = moment(next.Int64)
		return tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM ban WHERE until <= ? AND (written > 0 OR expires > 0)", now.UnixMilli()).
			Scan(&s.ToUnblock)
	})
	if err != nil {
		return Status{}, fmt.Errorf("read %s: %w", l.path, err)
	}
	return s, nil
}

// Origins counts the bans in force by where they come from.
func (l *Ledger) Origins(ctx context.Context, now time.Time) (map[string]int, error) {
	rows, err := l.db.QueryContext(ctx, "SELECT origin, COUNT(*) FROM ban WHERE until > ? GROUP BY origin", now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("count the bans in %s: %w", l.path, err)
	}
	defer rows.Close()
	origins := map[string]int{}
	for rows.Next() {
		var origin string
		var n int
		if err := rows.Scan(&origin, &n); err != nil {
			return nil, fmt.Errorf("count the bans in %s: %w", l.path, err)
		}
		origins[origin] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count the bans in %s: %w", l.path, err)
	}
	return origins, nil
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

// Forget records that nothing of ours is on the appliance any more: bans in force
// are pending again, and ended ones need nothing more.
func (l *Ledger) Forget(ctx context.Context, now time.Time) error {
	err := l.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM ban WHERE until <= ?", now.UnixMilli()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE ban SET written = 0, expires = 0"); err != nil {
			return err
		}
		var rows int64
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM ban").Scan(&rows); err != nil {
			return err
		}
		if err := setFacts(ctx, tx, map[string]int64{factRows: rows}); err != nil {
			return err
		}
		if err := setFact(ctx, tx, factTarget, ""); err != nil { // old groups are gone too
			return err
		}
		return forgetFiles(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("record the clean-up in %s: %w", l.path, err)
	}
	return nil
}

// forgetFiles records that nothing is known of the appliance's files, and that the
// last re-assert does not count any more.
func forgetFiles(ctx context.Context, tx *sql.Tx) error {
	if err := setFact(ctx, tx, factMark, ""); err != nil {
		return err
	}
	return setFacts(ctx, tx, map[string]int64{factConfirmed: 0, factAsserted: 0, factAssertedFlush: 0, factAssertedUntil: 0})
}
