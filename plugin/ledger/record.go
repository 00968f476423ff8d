package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"notification-stormshield/plugin/ban"
)

// Source is who says that a prefix must be blocked.
type Source string

const (
	// Alert is an alert that CrowdSec handed over.
	Alert Source = "alert"
	// Takeover is a block that was found on the appliance and that nothing in
	// the ledger explains: of the older Python component, or of lost state.
	Takeover Source = "takeover"
)

// Recorded says what a call of Record changed.
type Recorded struct {
	Added    int   // prefixes that nothing blocked before
	Extended int   // prefixes that now stand longer
	Known    int   // bans that changed nothing
	Evicted  int   // bans that went because there were too many
	Change   int64 // the ledger's change number afterwards
}

// Record writes bans down. Once it has returned they survive any crash. A ban
// that is known already changes nothing, a shorter one neither. With more than
// limit bans in force the soonest to end go, those of lists before local
// detections.
func (l *Ledger) Record(ctx context.Context, bans []ban.Ban, source Source, now time.Time, limit int) (Recorded, error) {
	var recorded Recorded
	// Once begun, a record is finished: CrowdSec would only send it again.
	ctx = context.WithoutCancel(ctx)
	err := l.write(ctx, func(tx *sql.Tx) error {
		r, err := newRecorder(ctx, tx, source, now)
		if err != nil {
			return err
		}
		for _, b := range bans {
			if err := r.record(ctx, b); err != nil {
				return err
			}
		}
		if err := r.evict(ctx, limit); err != nil {
			return err
		}
		recorded = r.recorded
		return r.finish(ctx)
	})
	if err != nil {
		return Recorded{}, fmt.Errorf("record %d bans in %s: %w", len(bans), l.path, err)
	}
	return recorded, nil
}

// Changes returns the number of the last change that any process recorded.
func (l *Ledger) Changes(ctx context.Context) (int64, error) {
	return number(fact(ctx, l.db, factChanges))
}

func number(value string, err error) (int64, error) {
	if err != nil || value == "" {
		return 0, err
	}
	return strconv.ParseInt(value, 10, 64)
}

// The facts of a ledger.
const (
	factChanges = "changes" // number of the last Record
	factRows    = "rows"    // how many rows ban has
)

type recorder struct {
	tx       *sql.Tx
	source   Source
	now      int64
	recorded Recorded
	rows     int64

	find, insert, extend, revive, decision, over *sql.Stmt
}

func newRecorder(ctx context.Context, tx *sql.Tx, source Source, now time.Time) (*recorder, error) {
	r := &recorder{tx: tx, source: source, now: now.UnixMilli()}
	var err error
	if r.recorded.Change, err = number(fact(ctx, tx, factChanges)); err != nil {
		return nil, err
	}
	r.recorded.Change++
	if r.rows, err = number(fact(ctx, tx, factRows)); err != nil {
		return nil, err
	}
	for text, to := range map[string]**sql.Stmt{
		"SELECT until FROM ban WHERE prefix = ?":                                                                      &r.find,
		"DELETE FROM decision WHERE prefix = ? AND until <= ?":                                                        &r.over,
		"INSERT INTO ban (prefix, until, local, recorded) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING":                 &r.insert,
		"UPDATE ban SET until = ?, local = MAX(local, ?) WHERE prefix = ?":                                            &r.extend,
		"UPDATE ban SET until = ?, local = ?, recorded = ?, expires = 0, written = 0 WHERE prefix = ?":                &r.revive,
		`INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET until = MAX(until, excluded.until)`: &r.decision,
	} {
		if *to, err = tx.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // the end of the transaction closes it
			return nil, err
		}
	}
	return r, nil
}

func (r *recorder) record(ctx context.Context, b ban.Ban) error {
	prefix, until := b.Prefix.String(), b.Until.UnixMilli()
	if until <= r.now {
		r.recorded.Known++
		return nil
	}
	if _, err := r.decision.ExecContext(ctx, prefix, r.source, b.UUID, until, b.Origin, b.Scenario); err != nil {
		return err
	}
	local := isLocal(b.Origin)
	added, err := affected(r.insert.ExecContext(ctx, prefix, until, local, r.recorded.Change))
	if err != nil || added > 0 {
		r.recorded.Added += int(added)
		r.rows += added
		return err
	}
	return r.again(ctx, prefix, until, local)
}

// again records a ban on a prefix that has a row.
func (r *recorder) again(ctx context.Context, prefix string, until int64, local bool) error {
	if _, err := r.over.ExecContext(ctx, prefix, r.now); err != nil {
		return err
	}
	var before int64
	switch err := r.find.QueryRowContext(ctx, prefix).Scan(&before); {
	case err != nil:
		return err
	case before <= r.now:
		// It had ended; a flush under way may be taking it off right now, so
		// what was written counts for nothing.
		r.recorded.Added++
		_, err = r.revive.ExecContext(ctx, until, local, r.recorded.Change, prefix)
		return err
	case before < until:
		r.recorded.Extended++
		_, err = r.extend.ExecContext(ctx, until, local, prefix)
		return err
	}
	r.recorded.Known++
	return nil
}

// evict ends the bans that are too many.
func (r *recorder) evict(ctx context.Context, limit int) error {
	if r.rows <= int64(limit) {
		return nil
	}
	var standing int64
	if err := r.tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM ban WHERE until > ?", r.now).Scan(&standing); err != nil {
		return err
	}
	for _, local := range []int{0, 1} {
		excess := standing - int64(limit)
		if excess <= 0 {
			return nil
		}
		victims, err := prefixes(r.tx.QueryContext(ctx, // local is a literal: that is how the index of lists is used
			fmt.Sprintf("SELECT prefix FROM ban WHERE local = %d AND until > ? ORDER BY until LIMIT ?", local), r.now, excess))
		if err != nil {
			return err
		}
		for _, p := range victims {
			if err := end(ctx, r.tx, p, r.now); err != nil {
				return err
			}
		}
		r.recorded.Evicted += len(victims)
		standing -= int64(len(victims))
	}
	return nil
}

// end ends a ban now, whatever its decisions say.
func end(ctx context.Context, tx *sql.Tx, p netip.Prefix, now int64) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM decision WHERE prefix = ?", p.String()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE ban SET until = MIN(until, ?) WHERE prefix = ?", now, p.String())
	return err
}

func (r *recorder) finish(ctx context.Context) error {
	if err := setFact(ctx, r.tx, factRows, strconv.FormatInt(r.rows, 10)); err != nil {
		return err
	}
	return setFact(ctx, r.tx, factChanges, strconv.FormatInt(r.recorded.Change, 10))
}

// Refuse ends the bans in force that refused says no to, such as those which a
// changed configuration protects, and returns them.
func (l *Ledger) Refuse(ctx context.Context, refused func(netip.Prefix) bool, now time.Time) ([]netip.Prefix, error) {
	var ended []netip.Prefix
	standing, err := prefixes(l.db.QueryContext(ctx, "SELECT prefix FROM ban WHERE until > ?", now.UnixMilli()))
	if err != nil {
		return nil, fmt.Errorf("look for bans that the configuration refuses: %w", err)
	}
	for _, p := range standing {
		if refused(p) {
			ended = append(ended, p)
		}
	}
	if len(ended) == 0 {
		return nil, nil
	}
	err = l.write(ctx, func(tx *sql.Tx) error {
		for _, p := range ended {
			if err := end(ctx, tx, p, now.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("end bans that the configuration refuses: %w", err)
	}
	return ended, nil
}

func prefixes(rows *sql.Rows, err error) ([]netip.Prefix, error) {
	if err != nil {
		return nil, err
	}
	return appendPrefixes(nil, rows)
}

// appendPrefixes reads rows to their end and closes them.
func appendPrefixes(found []netip.Prefix, rows *sql.Rows) ([]netip.Prefix, error) {
	defer rows.Close()
	for rows.Next() {
		p, err := scanPrefix(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, rows.Err()
}

func scanPrefix(rows *sql.Rows, more ...any) (netip.Prefix, error) {
	var text sql.RawBytes
	if err := rows.Scan(append([]any{&text}, more...)...); err != nil {
		return netip.Prefix{}, err
	}
	return netip.ParsePrefix(string(text))
}
