package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"notification-stormshield/plugin/ban"
)

// Status is a summary of a ledger, for people to read.
type Status struct {
	InForce   Counts    // bans that must be enforced
	Waiting   Counts    // bans that wait because there are more than the limit
	Recorded  int64     // decisions that were recorded since the ledger was made; each part of a split range counts
	ToBlock   int       // in force, and not acknowledged by the appliance
	ToUnblock int       // ended or waiting, and the appliance may still have them
	Ranges    int       // how many of ToBlock are ranges, which need the files
	ToWrite   int       // bans in force that the files lack, and other bans that they may have
	Stale     time.Time // since when the running filter rule lacks changes of the files; zero: it lacks none
	Pending   time.Time // since when the oldest of these is pending, or the files are unsure; zero: nothing is
	Next      time.Time // when the next ban ends; zero: none is in force

	Flushed   time.Time // the last flush that ended well; zero: none yet
	Confirmed time.Time // when everything in force was last blocked; zero: never
	Compared  time.Time // when the files were last compared with the bans in force; zero: never
	Trouble   Trouble   // of [WholeFlush]
	Files     Trouble   // of [Files]
	LocalAPI  LocalAPI  // as this machine reads it
	Holder    Holder    // the machine that took over last; zero: it is of one machine
	Machines  []Machine // that share the state, by their numbers; none: it is of one machine
	Answered  int64     // the last request whose flush ended well
}

// Counts are numbers of bans by their class.
type Counts map[ban.Class]int

// Total is the number of bans of all classes.
func (c Counts) Total() (n int) {
	for _, of := range c {
		n += of
	}
	return n
}

// String returns text such as "3 local, 200 lists".
func (c Counts) String() string {
	var parts []string
	for _, class := range []ban.Class{ban.Local, ban.Imported, ban.Remote} {
		if c[class] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c[class], class))
		}
	}
	return strings.Join(parts, ", ")
}

// Status reads the status. Its cost does not grow with the bans in force.
func (l *Ledger) Status(ctx context.Context, now time.Time) (Status, error) {
	s := Status{InForce: Counts{ban.Local: 0, ban.Imported: 0, ban.Remote: 0}, Waiting: Counts{ban.Local: 0, ban.Imported: 0, ban.Remote: 0}}
	err := l.read(ctx, func(tx *sql.Tx) (err error) {
		f, err := readFlushing(ctx, tx)
		if err != nil {
			return err
		}
		s.Flushed, s.Confirmed, s.Answered, s.Pending, s.Stale, s.Recorded = f.flushed, f.confirmed, f.answered, f.unsure, f.stale, f.decisions
		if f.compared.UnixMilli() > comparedElsewhere {
			s.Compared = f.compared
		}
		if s.Trouble, err = readTrouble(ctx, tx, WholeFlush); err != nil {
			return err
		}
		if s.Files, err = readTrouble(ctx, tx, Files); err != nil {
			return err
		}
		if s.LocalAPI, err = readLocalAPI(ctx, tx, l.number()); err != nil {
			return err
		}
		if l.shared {
			if s.Machines, err = readMachines(ctx, tx); err != nil {
				return err
			}
			if s.Holder, err = readHolder(ctx, tx); err != nil {
				return err
			}
		}
		if err := s.countBans(ctx, tx, now.UnixMilli()); err != nil {
			return err
		}
		return s.countPending(ctx, tx, f, now.UnixMilli())
	})
	return s, l.explain(err, "count the bans")
}

// The queries of a status. Each reads a few rows, or one end of an index: its cost grows with what is pending or has ended, not with the bans
// in force. The + keeps SQLite from choosing another index.
const (
	queryTally        = "SELECT class, enforced, waiting FROM tally"
	queryEndedByClass = `SELECT class, COUNT(*), 0 FROM ban WHERE until > 0 AND until <= ?1 GROUP BY class
		UNION ALL SELECT class, 0, COUNT(*) FROM ban WHERE next > 0 AND next <= ?1 AND +until = 0 AND ends <= ?1 GROUP BY class`

	// A ban that the files lack is pending if a filter rule enforces (?5), or if its entry has ended. ?4 is the latest end of an entry to look
	// at. A ban in the files is pending if no re-assert (?2) covers it and its own entry has ended. ?3 is when the entries of the last
	// re-assert ended. A ban that waits must be unblocked. settle explains ?6.
	queryLooks = `SELECT COUNT(*) FILTER (WHERE pending), COUNT(*) FILTER (WHERE until > 0 AND written <= 0),
		COUNT(*) FILTER (WHERE pending AND prefix NOT LIKE CASE WHEN prefix LIKE '%:%' THEN '%/128' ELSE '%/32' END),
		MIN(MAX(pending_since, expires, ?3)) FILTER (WHERE pending),
		COUNT(*) FILTER (WHERE until = 0 AND (written > 0 OR expires > 0)), COUNT(*) FILTER (WHERE until = 0 AND written <> 0),
		MIN(pending_since) FILTER (WHERE until = 0 AND (written > 0 OR expires > 0))
		FROM (SELECT *, until > 0 AND (written > 0 OR ?5 OR expires <= ?1) AS pending FROM ban WHERE look > ?6 AND
			(+until > ?1 AND (written <= 0 AND expires <= ?4 OR written > ?2 AND expires <= ?1) OR +until = 0 AND (written <> 0 OR expires <> 0))
			) AS looked`
	queryLeft = `SELECT COUNT(*) FILTER (WHERE written > 0 OR expires > 0), COUNT(*) FILTER (WHERE written <> 0),
		MIN(MAX(until, pending_since)) FILTER (WHERE written > 0 OR expires > 0)
		FROM ban WHERE until > 0 AND until <= ? AND (written <> 0 OR expires <> 0)`
)

// countBans counts the bans that are in force or wait. The tally also counts bans that have ended and still have a row.
func (s *Status) countBans(ctx context.Context, tx *sql.Tx, now int64) error {
	count := func(sign int) func(*sql.Rows) error {
		return func(rows *sql.Rows) error {
			var class ban.Class
			var enforced, waiting int
			err := rows.Scan(&class, &enforced, &waiting)
			if class > 0 {
				s.InForce[class] += sign * enforced
				s.Waiting[class] += sign * waiting
			}
			return err
		}
	}
	err := query(ctx, tx, count(1), queryTally)
	if err == nil {
		err = query(ctx, tx, count(-1), queryEndedByClass, now)
	}
	if err == nil {
		s.Next, err = readFirst(ctx, tx, queryNext, now)
	}
	return err
}

// countPending counts the bans that the appliance must still block or unblock.
func (s *Status) countPending(ctx context.Context, tx *sql.Tx, f flushing, now int64) error {
	asserted, settled, lapsed, lastEntry := f.assertedFlush, f.settled, int64(0), now
	if until := milliseconds(f.assertedUntil); until > 0 && until <= now {
		asserted, settled, lapsed = 0, 0, until
	}
	if f.target.WithoutBlacklist {
		asserted, settled = math.MaxInt64, f.settled // no ban in the files needs an entry
	}
	if f.target.HasFiles() || f.target.ByRule {
		lastEntry = math.MaxInt64
	}
	var missing, waiting, left, ended int
	var blockSince, waitingSince, endedSince sql.NullInt64
	err := tx.QueryRowContext(ctx, queryLooks, now, asserted, lapsed, lastEntry, f.target.ByRule, settled).
		Scan(&s.ToBlock, &missing, &s.Ranges, &blockSince, &s.ToUnblock, &waiting, &waitingSince)
	if err == nil {
		err = tx.QueryRowContext(ctx, queryLeft, now).Scan(&ended, &left, &endedSince)
	}
	s.ToUnblock += ended
	for _, since := range []sql.NullInt64{blockSince, waitingSince, endedSince} {
		s.Pending = earlier(s.Pending, since)
	}
	if f.target.HasFiles() {
		s.ToWrite = missing + waiting + left
	}
	return err
}

// earlier returns the earlier of two times, of which each may be missing.
func earlier(t time.Time, stored sql.NullInt64) time.Time {
	if other := timeOf(stored.Int64); !other.IsZero() && (t.IsZero() || other.Before(t)) {
		return other
	}
	return t
}

// Origins counts the bans that are enforced, by the origins of their decisions.
func (l *Ledger) Origins(ctx context.Context, now time.Time) (map[string]int, error) {
	origins := map[string]int{}
	err := query(ctx, l.db, func(rows *sql.Rows) error {
		var origin string
		var bans int
		err := rows.Scan(&origin, &bans)
		origins[origin] = bans
		return err
	}, `SELECT origin, COUNT(DISTINCT ban) FROM decision JOIN ban ON ban.id = decision.ban
		WHERE ban.until > ?1 AND decision.until > ?1 AND lifted = 0 GROUP BY origin`, now.UnixMilli())
	return origins, l.explain(err, "count the bans by origin")
}

// OnAppliance returns the prefixes that may be on the appliance's blacklist or in its files.
func (l *Ledger) OnAppliance(ctx context.Context) ([]netip.Prefix, error) {
	prefixes, err := l.prefixes(ctx, nil, "SELECT prefix FROM ban WHERE written <> 0 OR expires > 0")
	return prefixes, l.explain(err, "read the bans on the appliance")
}

// RecordCleanup records that a clean-up removed all our entries and names from the appliance. Bans in force are pending again.
func (l *Ledger) RecordCleanup(ctx context.Context, now time.Time) error {
	err := l.writeAsHolder(ctx, func(tx *sql.Tx) error {
		parameters := []any{now.UnixMilli()}
		err := execEach(ctx, tx, statement{"UPDATE ban SET written = 0, expires = 0, pending_since = ?", parameters}, statement{
			`DELETE FROM ban WHERE until > 0 AND until <= ?1
				AND NOT EXISTS (SELECT 1 FROM decision WHERE decision.ban = ban.id AND decision.until > ?1)`, parameters},
			statement{text: "UPDATE flushing SET target = '', unsure = 0, entries = 0, stale = 0"})
		if err != nil {
			return err
		}
		return forgetFiles(ctx, tx)
	})
	return l.explain(err, "record the clean-up")
}

// forgetFiles records that the text of the appliance's files is not known, and that no re-assert and no trouble with the files counts
// any more. No ban is new then.
func forgetFiles(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE flushing SET mark = '', confirmed = 0, asserted = 0, asserted_flush = 0, asserted_until = 0, settled = 0,
		new_after = changes, compared = MIN(compared, ?)`, comparedElsewhere)
	if err == nil {
		_, err = tx.ExecContext(ctx, queryEndTrouble, Files)
	}
	return err
}

// readFirst returns the time in the first row of a result; zero: there is no row.
func readFirst(ctx context.Context, tx *sql.Tx, text string, now int64) (t time.Time, err error) {
	err = tx.QueryRowContext(ctx, text, now).Scan(scanInto(&t))
	return t, ignoreNoRows(err)
}
