package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math/bits"
	"net/netip"
	"time"

	"notification-stormshield/plugin/ban"
)

// ErrGap says that the state lacks messages of this machine that it had before. It came from a backup.
var ErrGap = errors.New("the state lacks earlier messages of this machine")

// ErrNameTaken says that another machine uses the name of this one.
var ErrNameTaken = errors.New("another machine used the name of this machine within the last 30s (hint: give each machine a state_machine of its own)")

// NameKept is how long a machine keeps its name after its last beat.
const NameKept = 30 * time.Second

const (
	// queryTaken reports whether the row with the name of this machine (?1) has another identity than this machine (?2).
	queryTaken = "EXISTS (SELECT * FROM machine WHERE name = ?1 AND identity <> '' AND ?2 NOT IN ('', identity))"
	// databaseClock is the time of the database, in milliseconds. It decides who has a name, because the clocks of the machines may differ.
	databaseClock = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
)

// Machine is a CrowdSec machine that uses a shared state.
type Machine struct {
	Name         string
	Number       int
	Seen         time.Time // its last beat; zero: none yet
	IsHolder     bool      // it took over last, and did not hand over
	Version      string    // of its plugin
	Waiting      int       // how many decisions wait in its outbox
	WaitingSince time.Time
	Identity     string // tells it from another machine with the same name; "": not known
	LocalAPI     LocalAPI
}

// Beat is what a machine records about itself every few seconds, for the other machines.
type Beat struct {
	Version      string
	Waiting      int // decisions in its outbox
	WaitingSince time.Time
}

// Beaten is the answer to a [Beat].
type Beaten struct {
	Beat      int64 // how often this machine has beaten, as the state knows it
	Forwarded int64 // the last message of this machine's outbox that the state has
}

// errUnknownMachine says that the state does not know this machine. The next [Ledger.Beat] cures that.
var errUnknownMachine = errors.New("the state does not know this machine any more: it is another one, or came from an older backup")

// isOfAnotherState reports whether an error says that the tables or the row of this machine are not there any more.
func isOfAnotherState(err error) bool {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState() == "42P01" || state.SQLState() == "3F000" // undefined_table, invalid_schema_name
	}
	return errors.Is(err, sql.ErrNoRows)
}

// Forwarded is a message of this machine's outbox.
type Forwarded struct {
	Number       int64
	After        int64 // the message before it, which the state has
	Decisions    []ban.Decision
	MaybeBlocked bool // this machine may have blocked them while it could not use the state
}

// bitOf returns the bit of a machine in the sets of a decision. 0 is no machine.
func bitOf(number int64) int64 { return 1 << number >> 1 }

// number returns the number of this machine.
func (l *Ledger) number() int64 { return int64(bits.Len64(uint64(l.machine.Load()))) }

// readMachines returns the machines that share the state, by their numbers.
func readMachines(ctx context.Context, tx *sql.Tx) (all []Machine, err error) {
	err = query(ctx, tx, func(rows *sql.Rows) error {
		var m Machine
		err := rows.Scan(&m.Name, &m.Number, scanInto(&m.Seen), &m.IsHolder, &m.Version, &m.Waiting, scanInto(&m.WaitingSince), &m.Identity,
			scanInto(&m.LocalAPI.LastRead), scanInto(&m.LocalAPI.FailingSince), &m.LocalAPI.Error)
		all = append(all, m)
		return err
	}, `SELECT name, number, seen, holder.machine = number AND released = 0, version, waiting, waiting_since, identity, last_read, failing_since, error
		FROM machine JOIN local_api ON local_api.machine = number CROSS JOIN holder ORDER BY number`)
	return all, err
}

// UseIdentity says what tells this machine from another one with the same name. The caller calls it before any other method. While another
// machine uses the name, no method records decisions or takes over: the error is an [ErrNameTaken].
func (l *Ledger) UseIdentity(id string) { l.identity = id }

// CheckName returns an [ErrNameTaken] if another machine uses the name of this one.
func (l *Ledger) CheckName(ctx context.Context) error {
	return l.explain(l.read(ctx, func(tx *sql.Tx) error { return l.checkName(ctx, tx) }), "look who uses the name of this machine")
}

func (l *Ledger) checkName(ctx context.Context, tx *sql.Tx) error {
	var isTaken bool
	err := tx.QueryRowContext(ctx, "SELECT "+queryTaken, l.name, l.identity).Scan(&isTaken)
	if err == nil && isTaken {
		err = ErrNameTaken
	}
	return err
}

// Beat records that this machine runs. If another machine had the same name, and was silent for [NameKept], the name now belongs to this
// machine. If the state does not know this machine any more, because somebody deleted the schema or put an older state in its place, this
// machine joins the state anew.
func (l *Ledger) Beat(ctx context.Context, b Beat, now time.Time) (beaten Beaten, err error) {
	beat := func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `UPDATE machine SET seen = ?1, beat = beat + 1, version = ?2, waiting = ?3, waiting_since = ?4, identity = ?5,
			beaten = `+databaseClock+`
			WHERE number = ?6 AND name = ?7 AND (identity IN ('', ?5) OR beaten <= `+databaseClock+` - ?8) RETURNING beat, forwarded`,
			now.UnixMilli(), b.Version, b.Waiting, milliseconds(b.WaitingSince), l.identity, l.number(), l.name, NameKept.Milliseconds()).
			Scan(&beaten.Beat, &beaten.Forwarded)
		if errors.Is(err, sql.ErrNoRows) {
			err = cmp.Or(l.checkName(ctx, tx), err)
		}
		return err
	}
	if err = l.writeShared(ctx, beat); isOfAnotherState(err) {
		if err = l.join(ctx); err == nil {
			err = l.writeShared(ctx, beat)
		}
	}
	return beaten, l.explain(err, "record a beat of this machine")
}

// Forward records messages of this machine's outbox, in one transaction. It skips those that it has recorded before. If the state lacks
// the message before one of them, Forward records nothing and the error is an [ErrGap]. A ban that this machine may have blocked, and
// that had no entry, may have one.
func (l *Ledger) Forward(ctx context.Context, messages []Forwarded, now time.Time, limit int) (Recorded, error) {
	if !l.shared {
		return Recorded{}, l.explain(errNotShared, "forward decisions")
	}
	recorded, err := l.transact(ctx, now, limit, func(t *transaction) error {
		last := t.forwarded
		if last < 0 {
			return errUnknownMachine
		}
		var all []ban.Decision
		var blocked []netip.Prefix
		for _, m := range messages {
			if m.Number <= last {
				continue
			}
			if m.After > last {
				return ErrGap
			}
			last = m.Number
			all = append(all, m.Decisions...)
			if m.MaybeBlocked {
				blocked = append(blocked, prefixesOf(m.Decisions)...)
			}
		}
		if err := t.addAll(ctx, sortedByPrefix(all), ignoreRow); err != nil {
			return err
		}
		if len(blocked) > 0 {
			if err := t.exec(ctx, queryMaybeBlocked, maybeBlocked, jsonArray(blocked)); err != nil {
				return err
			}
		}
		return t.exec(ctx, "UPDATE machine SET forwarded = ? WHERE number = ?", last, l.number())
	})
	return recorded, l.explain(err, "forward decisions")
}

// RecordRestored records that the state came from a backup. So the appliance may have other entries than the state says: the next flush
// compares the whole files, and blocks everything in force again. If the state has the beats of this machine, it is no new one. Then the
// names in the files are no bans of an earlier installation, also if the backup is from before the first comparison.
func (l *Ledger) RecordRestored(ctx context.Context, now time.Time, limit int) error {
	if !l.shared {
		return l.explain(errNotShared, "record that the state came from a backup")
	}
	_, err := l.transact(ctx, now, limit, func(t *transaction) error {
		// This counts as a change, so that the holder flushes soon. It also sets l.own to the number in the backup. With a higher number,
		// changes of other machines would count as changes of this one.
		t.changed = true
		return execEach(ctx, t.tx,
			statement{"UPDATE flushing SET mark = '', confirmed = 0, unsure = CASE unsure WHEN 0 THEN ? ELSE unsure END", []any{now.UnixMilli()}},
			statement{"UPDATE flushing SET compared = ? WHERE compared = 0 AND (SELECT beat FROM machine WHERE number = ?) > 1",
				[]any{comparedElsewhere, l.number()}})
	})
	return l.explain(err, "record that the state came from a backup")
}

// RecordAttempted records in a state from a backup what this machine began to block, before or after the backup. Each prefix may have an entry,
// although the state has no ban for it. A prefix without a ban gets one that has ended, so that the next flush unblocks it.
func (l *Ledger) RecordAttempted(ctx context.Context, attempted []netip.Prefix, now time.Time, limit int) error {
	if !l.shared {
		return l.explain(errNotShared, "record what may be blocked")
	}
	_, err := l.transact(ctx, now, limit, func(t *transaction) error {
		t.changed = true // the holder flushes soon
		return t.update(ctx, attempted, func(bans map[netip.Prefix]*storedBan) {
			for _, p := range attempted {
				b := bans[p]
				if b == nil {
					bans[p] = &storedBan{prefix: p, expires: maybeBlocked, isNew: true, changed: true}
				} else if b.expires == 0 {
					b.expires, b.look, b.changed = maybeBlocked, t.flush, true
				}
			}
		})
	})
	return l.explain(err, "record what may be blocked")
}

// BlockedBans returns the bans in force, with their ends, that have a decision which was recorded after another one; 0: all. last is the
// decision that was recorded last.
func (l *Ledger) BlockedBans(ctx context.Context, after int64) (bans map[netip.Prefix]time.Time, last int64, err error) {
	bans = map[netip.Prefix]time.Time{}
	err = l.read(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT decisions FROM flushing").Scan(&last); err != nil || last <= after {
			return err
		}
		return eachPrefix(ctx, tx, func(p netip.Prefix, until, _ int64) { bans[p] = timeOf(until) },
			"SELECT prefix, until, 0 FROM ban WHERE until > 1 AND newest > ?", after)
	})
	return bans, last, l.explain(err, "read the bans in force")
}
