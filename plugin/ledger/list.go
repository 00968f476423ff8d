package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"notification-stormshield/plugin/ban"
)

// The facts of reading the Local API's list.
const (
	factReads     = "reads"      // number of the last full read
	factRead      = "read"       // when a read last went well
	factReadFails = "read_fails" // since when reads fail; does not stand while they go well
	factReadWhy   = "read_why"   // why the last one did
	factLeftOut   = "left_out"   // how many bans were left out since everything was last read
)

// Listed is a ban by a decision that the Local API lists.
type Listed struct {
	ban.Ban
	Number int64 // of the decision; a later one has a greater number
}

// Unlisted is a prefix that a decision banned which the Local API lists no more.
type Unlisted struct {
	Prefix netip.Prefix
	Number int64
	Since  time.Time
	Sure   bool // no other decision lists it
}

// Reading is one reading of the Local API's list.
type Reading struct {
	began int64 // what alerts said up to this change, the list knows, if they did so before
	at    int64
	full  int64 // number of the full read; 0: of changes alone
	left  int64 // how many bans had been left out before it
}

// Full reports whether everything is read.
func (r Reading) Full() bool { return r.full > 0 }

// BeginRead begins to read the list: everything, or what changed. It is to be
// called before the Local API is asked.
func (l *Ledger) BeginRead(ctx context.Context, full bool, now time.Time) (r Reading, err error) {
	r.at = now.Add(-delay).UnixMilli()
	err = l.write(ctx, func(tx *sql.Tx) (err error) {
		if r.began, err = number(fact(ctx, tx, factChanges)); err != nil || !full {
			return err
		}
		if r.left, err = number(fact(ctx, tx, factLeftOut)); err != nil {
			return err
		}
		if r.full, err = number(fact(ctx, tx, factReads)); err != nil {
			return err
		}
		r.full++
		return setFacts(ctx, tx, map[string]int64{factReads: r.full})
	})
	if err != nil {
		return Reading{}, fmt.Errorf("begin to read the Local API's list into %s: %w", l.path, err)
	}
	return r, nil
}

// tolerance is by how much the end that a list tells may be off: it counts whole
// seconds, from the moment that it was written. An end as near as that is the
// one that is known.
const tolerance = 3 * time.Second

// delay is how much later the list may know a decision than an alert brought it:
// CrowdSec hands alerts out before it stores them.
const delay = 5 * time.Second

// What a listed decision does to a prefix that has a row. The parameters are the
// change's number, the end that is soon, the change up to which the list knows
// alerts, the full read, the tolerance, the time, and six for each ban.
const (
	listInto = "INSERT INTO ban (recorded, found, prefix, until, local, origin, scenario, listed) VALUES "

	// It had ended, or is about to, and the list says that it goes on.
	orListAnew = `DO UPDATE SET until = excluded.until, origin = excluded.origin, scenario = excluded.scenario,
		local = excluded.local, recorded = excluded.recorded, listed = excluded.listed, found = excluded.found, heard = 0, heard_at = 0, alerted = 0,
		written = -1, expires = 1 WHERE ban.until <= ?2 AND excluded.until > ban.until + ?5`

	// It is in force. The list knows of the alerts before it: a later end is that
	// of a decision which is none any more. Of the alerts since, it knows nothing.
	orList = `DO UPDATE SET listed = excluded.listed, found = MAX(found, excluded.found), local = MAX(local, excluded.local),
		origin = CASE WHEN excluded.until > ban.until THEN excluded.origin ELSE ban.origin END,
		scenario = CASE WHEN excluded.until > ban.until THEN excluded.scenario ELSE ban.scenario END,
		alerted = CASE WHEN heard > ?3 THEN alerted ELSE 0 END,
		until = CASE WHEN ABS(until - excluded.until) <= ?5 THEN until
			WHEN heard > ?3 THEN MAX(alerted, excluded.until) ELSE excluded.until END
		WHERE ban.until > ?6`
)

// List writes down some of what the list holds. When bans are too many, those of
// the list that end the soonest are left out.
func (l *Ledger) List(ctx context.Context, r Reading, listed []Listed, now time.Time, limit int) (recorded Recorded, err error) {
	err = l.write(ctx, func(tx *sql.Tx) error {
		w, err := l.newRecorder(ctx, tx)
		if err != nil {
			return err
		}
		w.change++
		w.now, w.soon = now.UnixMilli(), now.Add(soon).UnixMilli()
		w.recorded = Recorded{Change: w.change}
		fitting, err := w.fitting(ctx, listed, limit)
		if err != nil {
			return err
		}
		left := len(listed) - len(fitting)
		w.left, w.recorded.Left = int64(left), left
		for len(fitting) > 0 {
			n := min(batch, len(fitting))
			if err := w.list(ctx, r, fitting[:n]); err != nil {
				return err
			}
			fitting = fitting[n:]
		}
		if err := w.evict(ctx, limit); err != nil {
			return err
		}
		recorded = w.recorded
		return w.finish(ctx)
	})
	if err != nil {
		return Recorded{}, fmt.Errorf("record %d listed bans in %s: %w", len(listed), l.path, err)
	}
	return recorded, nil
}

// fitting leaves out what would have to go at once, because bans are too many:
// so a list that is longer than there is room does not push its own entries out,
// and in again, with each read.
func (w *recorder) fitting(ctx context.Context, listed []Listed, limit int) ([]Listed, error) {
	if w.rows < int64(limit) {
		return listed, nil
	}
	ended, err := ended(ctx, w.tx, w.now)
	if err != nil {
		return nil, err
	}
	if w.rows-ended < int64(limit) {
		return listed, nil
	}
	var soonest sql.NullInt64
	if err := w.tx.QueryRowContext(ctx, "SELECT MIN(until) FROM ban WHERE local = 0 AND until > ?", w.now).Scan(&soonest); err != nil {
		return nil, err
	}
	known, err := w.known(ctx, listed)
	if err != nil {
		return nil, err
	}
	fits := make([]Listed, 0, len(listed))
	for _, b := range listed {
		if known[b.Prefix] || isLocal(b.Origin) || soonest.Valid && b.Until.UnixMilli() > soonest.Int64 {
			fits = append(fits, b)
		}
	}
	return fits, nil
}

// Longer returns those of the listed that ban a prefix for longer than is known,
// of several on a prefix the one that ends last.
func (l *Ledger) Longer(ctx context.Context, listed []Listed, now time.Time) (longer []Listed, err error) {
	if len(listed) == 0 {
		return nil, nil
	}
	last := make(map[netip.Prefix]Listed, len(listed))
	for _, b := range listed {
		if b.Until.After(last[b.Prefix].Until) {
			last[b.Prefix] = b
		}
	}
	known := make(map[netip.Prefix]int64, len(last))
	err = l.read(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(p netip.Prefix, until, _ int64) { known[p] = until },
			"SELECT prefix, until, 0 FROM ban WHERE until > ? AND prefix IN (SELECT value FROM json_each(?))",
			now.UnixMilli(), list(slices.Collect(maps.Keys(last))))
	})
	if err != nil {
		return nil, fmt.Errorf("compare %d listed bans with %s: %w", len(listed), l.path, err)
	}
	for p, b := range last {
		if b.Until.UnixMilli() > known[p]+tolerance.Milliseconds() {
			longer = append(longer, b)
		}
	}
	return longer, nil
}

// known tells which of the listed are in force.
func (w *recorder) known(ctx context.Context, listed []Listed) (map[netip.Prefix]bool, error) {
	all := make([]netip.Prefix, 0, len(listed))
	for _, b := range listed {
		all = append(all, b.Prefix)
	}
	found, err := prefixes(w.tx.QueryContext(ctx, "SELECT prefix FROM ban WHERE until > ? AND prefix IN (SELECT value FROM json_each(?))", w.now, list(all)))
	if err != nil {
		return nil, err
	}
	known := make(map[netip.Prefix]bool, len(found))
	for _, p := range found {
		known[p] = true
	}
	return known, nil
}

// list writes down as many as fit one statement.
func (w *recorder) list(ctx context.Context, r Reading, listed []Listed) error {
	parameters := append(make([]any, 0, 6+6*len(listed)), w.change, w.soon, r.began, r.full, tolerance.Milliseconds(), w.now)
	for _, b := range listed {
		parameters = append(parameters, b.Prefix.String(), b.Until.UnixMilli(), isLocal(b.Origin), b.Origin, b.Scenario, b.Number)
	}
	var rows [3]int64
	for i, onConflict := range []string{orLeave, orListAnew, orList} {
		//nolint:gosec // it is of constants alone
		query := listInto + "(?1, ?4, ?7, ?8, ?9, ?10, ?11, ?12)" +
			strings.Repeat(", (?1, ?4, ?, ?, ?, ?, ?, ?)", len(listed)-1) + " ON CONFLICT " + onConflict
		statement := w.prepared[query]
		if statement == nil {
			var err error
			if statement, err = w.tx.PrepareContext(ctx, query); err != nil {
				return err
			}
			w.prepared[query] = statement
		}
		n, err := affected(statement.ExecContext(ctx, parameters...))
		if err != nil {
			return err
		}
		rows[i] = n
	}
	w.rows += rows[0]
	w.recorded.Added += int(rows[0] + rows[1])
	w.recorded.Known += len(listed) - int(rows[0]+rows[1])
	return nil
}

// Ended says what ended because it is listed no more.
type Ended struct {
	Bans     int
	Doubtful []Unlisted // what another decision lists by now, as far as is known: it stays until that is settled
}

func (e *Ended) add(more Ended) {
	e.Bans, e.Doubtful = e.Bans+more.Bans, append(e.Doubtful, more.Doubtful...)
}

// Unlist ends what the list says is over. Of a full reading, it is called after
// [Ledger.List].
func (l *Ledger) Unlist(ctx context.Context, r Reading, gone []Unlisted, now time.Time) (ended Ended, err error) {
	for some := range slices.Chunk(gone, chunk) {
		e, err := l.unlist(ctx, r, some, now)
		if err != nil {
			return ended, fmt.Errorf("end %d bans that are listed no more in %s: %w", len(some), l.path, err)
		}
		ended.add(e)
	}
	return ended, nil
}

func (l *Ledger) unlist(ctx context.Context, r Reading, gone []Unlisted, now time.Time) (ended Ended, err error) {
	err = l.write(ctx, func(tx *sql.Tx) error {
		for _, g := range gone {
			var listed, found int64
			err := tx.QueryRowContext(ctx, "SELECT listed, found FROM ban WHERE prefix = ? AND until > ?", g.Prefix.String(), now.UnixMilli()).Scan(&listed, &found)
			if err := ignoreNone(err); err != nil {
				return err
			}
			switch {
			case err != nil: // it is not in force
				continue
			case !g.Sure && listed != 0 && listed != g.Number && (!r.Full() || found == r.full):
				ended.Doubtful = append(ended.Doubtful, g)
				continue
			}
			n, err := affected(tx.ExecContext(ctx, `UPDATE ban SET listed = 0,
				until = CASE WHEN heard > ?2 OR heard_at > ?4 THEN MAX(alerted, ?3) ELSE ?3 END
				WHERE prefix = ?1`, g.Prefix.String(), r.began, now.UnixMilli(), g.Since.Add(tolerance).UnixMilli()))
			if err != nil {
				return err
			}
			ended.Bans += int(n)
		}
		return l.bump(ctx, tx, ended.Bans)
	})
	return ended, err
}

// bump numbers a change, if there was one, so that other processes look.
func (l *Ledger) bump(ctx context.Context, tx *sql.Tx, changed int) error {
	if changed == 0 {
		return nil
	}
	change, err := number(fact(ctx, tx, factChanges))
	if err != nil {
		return err
	}
	l.own.Store(change + 1) // before others can see it
	return setFacts(ctx, tx, map[string]int64{factChanges: change + 1})
}

// EndRead takes note that a reading went well. After a full one it ends what was
// listed before and was not found: but only what has a smaller number than last,
// the greatest that was found, for the Local API's answer may lack its end.
func (l *Ledger) EndRead(ctx context.Context, r Reading, last int64, now time.Time) (ended Ended, err error) {
	for r.Full() {
		e, err := l.sweep(ctx, r, last, now)
		if err != nil {
			return ended, fmt.Errorf("end bans that are listed no more in %s: %w", l.path, err)
		}
		ended.add(e)
		if e.Bans < chunk {
			break
		}
	}
	err = l.write(ctx, func(tx *sql.Tx) error {
		left, err := number(fact(ctx, tx, factLeftOut))
		if err != nil {
			return err
		}
		if r.Full() {
			left -= r.left
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM fact WHERE name IN (?, ?)", factReadFails, factReadWhy); err != nil {
			return err
		}
		return setFacts(ctx, tx, map[string]int64{factRead: now.UnixMilli(), factLeftOut: left})
	})
	if err != nil {
		return ended, fmt.Errorf("record a reading in %s: %w", l.path, err)
	}
	return ended, nil
}

func (l *Ledger) sweep(ctx context.Context, r Reading, last int64, now time.Time) (ended Ended, err error) {
	err = l.write(ctx, func(tx *sql.Tx) error {
		n, err := affected(tx.ExecContext(ctx, `UPDATE ban SET listed = 0,
			until = CASE WHEN heard > ?1 OR heard_at > ?6 THEN MAX(alerted, ?2) ELSE ?2 END
			WHERE prefix IN (SELECT prefix FROM ban WHERE until > ?2 AND listed > 0 AND listed < ?3 AND found < ?4 LIMIT ?5)`,
			r.began, now.UnixMilli(), last, r.full, chunk, r.at))
		if err != nil {
			return err
		}
		ended.Bans = int(n)
		return l.bump(ctx, tx, ended.Bans)
	})
	return ended, err
}

// ReadFailed takes note of why the list could not be read. Nothing ends by that.
func (l *Ledger) ReadFailed(ctx context.Context, text string, now time.Time) error {
	err := l.write(ctx, func(tx *sql.Tx) error {
		since, err := number(fact(ctx, tx, factReadFails))
		if err != nil {
			return err
		}
		if since == 0 {
			if err := setFacts(ctx, tx, map[string]int64{factReadFails: now.UnixMilli()}); err != nil {
				return err
			}
		}
		return setFact(ctx, tx, factReadWhy, text)
	})
	if err != nil {
		return fmt.Errorf("record why the list was not read in %s: %w", l.path, err)
	}
	return nil
}
