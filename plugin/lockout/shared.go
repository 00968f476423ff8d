package lockout

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// databaseWait bounds each use of the database, because a flush waits for it.
	databaseWait = 3 * time.Second
	// clockSkew is how far the clocks of the machines may differ. A hold-off that begins later than that was recorded before somebody
	// set a clock back.
	clockSkew = 10 * time.Minute
)

// Shared is the login hold-off of several machines that share an appliance: the three refused logins that lock it may come from different
// machines. It stores each hold-off in a table of their database, and a copy in the file of this machine.
//
// The later record of both counts. Without the database the file counts alone, so a machine does not see a hold-off that another machine
// records meanwhile. The database is never a reason not to log in.
type Shared struct {
	file File
	db   *sql.DB
	// mayHold says that the database may have a hold-off that RecordSuccess must end.
	mayHold atomic.Bool
}

// NewShared returns the hold-off of a file and of a database. The database takes ? as a placeholder, as SQLite does. A transaction that
// begins to write waits for the one before it.
func NewShared(file File, db *sql.DB) *Shared {
	s := &Shared{file: file, db: db}
	s.mayHold.Store(true)
	return s
}

// Current is like [File.Current], for the failed logins of all machines.
func (s *Shared) Current(credentials string, now time.Time) (hold HoldOff, active bool, err error) {
	if hold, active, err := s.file.Current(credentials, now); err != nil {
		return hold, active, err
	}
	return s.readLatest(credentials, now, func() {
		_ = s.update(func(before record) (record, bool) { // the next call tries it again
			return before.restarted(credentials, now, clockSkew)
		})
	})
}

// CurrentReadOnly is like [File.CurrentReadOnly], for the failed logins of all machines.
func (s *Shared) CurrentReadOnly(credentials string, now time.Time) (hold HoldOff, active bool, err error) {
	return s.readLatest(credentials, now, func() {})
}

// readLatest returns the hold-off of the later record. It calls restart if the clock was set back since that of the database began.
func (s *Shared) readLatest(credentials string, now time.Time, restart func()) (hold HoldOff, active bool, err error) {
	own, err := s.file.read()
	own, _ = own.restarted(credentials, now, 0)
	shared, failed := s.read()
	restarted, changed := shared.restarted(credentials, now, clockSkew)
	if changed {
		restart()
	}
	s.mayHold.Store(failed != nil || restarted.isFor(credentials) && !restarted.Until.IsZero())
	return laterRecord(credentials, own, restarted).current(credentials, now, err)
}

// laterRecord returns the record of these credentials that was recorded later.
func laterRecord(credentials string, own, shared record) record {
	if shared.isFor(credentials) && (!own.isFor(credentials) || !own.Since.After(shared.Since)) {
		return shared
	}
	return own
}

// RecordFailure is like [File.RecordFailure], and counts the failed logins of all machines. If the file has the hold-off and the database
// does not, that is an error too: the other machines do not know of it.
func (s *Shared) RecordFailure(credentials string, failure Failure, now time.Time) (HoldOff, error) {
	s.mayHold.Store(true)
	own, unread := s.file.read()
	after := own.failed(credentials, failure, now)
	failed := s.update(func(before record) (record, bool) {
		after = laterRecord(credentials, own, before).failed(credentials, failure, now)
		return after, true
	})
	unstored := s.file.update(func(record) (record, bool) { return after, true })
	if err := errors.Join(unread, unstored); err != nil {
		return after.HoldOff, fmt.Errorf("record the login hold-off: %w", errors.Join(err, failed))
	}
	if failed != nil {
		return after.HoldOff, fmt.Errorf("record the login hold-off for the other machines: %w", failed)
	}
	return after.HoldOff, nil
}

// RecordSuccess is like [File.RecordSuccess]. It uses the database only if that had a hold-off when it was last read, or could not be read.
// A failure of the database is no error, because the login was accepted: at worst other machines wait until the hold-off ends.
func (s *Shared) RecordSuccess(credentials string) error {
	// The record says that the hold-off was ended, so that the copy of another machine does not count any more.
	ended := func(before record) (record, bool) {
		if !before.isFor(credentials) || before.Until.IsZero() {
			return before, false
		}
		return newRecord(credentials, HoldOff{}, time.Now()), true
	}
	if s.mayHold.Load() && s.update(ended) == nil {
		s.mayHold.Store(false)
	}
	if err := s.file.update(ended); err != nil {
		return fmt.Errorf("end the login hold-off: %w", err)
	}
	return nil
}

const (
	createTable  = "CREATE TABLE IF NOT EXISTS lockout (id BIGINT PRIMARY KEY, record TEXT NOT NULL)"
	selectRecord = "SELECT record FROM lockout WHERE id = 1"
	upsertRecord = "INSERT INTO lockout (id, record) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record"
)

// row is a database or a transaction.
type row interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// read returns the record in the database.
func (s *Shared) read() (record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), databaseWait)
	defer cancel()
	r, err := readRow(ctx, s.db)
	if isNoTable(err) { // no machine recorded anything yet
		return record{}, nil
	}
	return r, err
}

// readRow returns the record in the table. A record that cannot be parsed counts as no hold-off.
func readRow(ctx context.Context, from row) (r record, err error) {
	var text string
	err = from.QueryRowContext(ctx, selectRecord).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return record{}, nil
	}
	if err == nil && json.Unmarshal([]byte(text), &r) != nil {
		r = record{}
	}
	return r, err
}

// isNoTable reports whether PostgreSQL knows no such table or schema.
func isNoTable(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && (state.SQLState() == "42P01" || state.SQLState() == "3F000")
}

// update reads the record, calls change, and writes the new record if write is true. It makes the table if there is none.
func (s *Shared) update(change func(before record) (after record, write bool)) error {
	ctx, cancel := context.WithTimeout(context.Background(), databaseWait)
	defer cancel()
	err := s.updateRow(ctx, change)
	if isNoTable(err) {
		if err = s.inTransaction(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, createTable)
			return err
		}); err == nil {
			err = s.updateRow(ctx, change)
		}
	}
	return err
}

func (s *Shared) updateRow(ctx context.Context, change func(before record) (after record, write bool)) error {
	return s.inTransaction(ctx, func(tx *sql.Tx) error {
		before, err := readRow(ctx, tx)
		if err != nil {
			return err
		}
		after, write := change(before)
		if !write {
			return nil
		}
		text, err := json.Marshal(after)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, upsertRecord, string(text))
		return err
	})
}

func (s *Shared) inTransaction(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // the connection may be broken
		return err
	}
	return tx.Commit()
}
