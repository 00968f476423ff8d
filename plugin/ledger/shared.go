package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"notification-stormshield/plugin/postgres"
	"notification-stormshield/plugin/sqlite"
)

// mostMachines is how many machines share a state at most, because a set of machines is one number.
const mostMachines = 60

// readers is how many connections of a process read a shared state at once.
const readers = 3

// OpenShared opens a state that several machines share. machine is the name of this machine. It makes the tables if there are none.
func OpenShared(ctx context.Context, d postgres.Database, machine string) (*Ledger, error) {
	l, err := openShared(d, machine)
	if err != nil {
		return nil, err
	}
	writer, err := d.Pool(1, false)
	if err != nil {
		return l.closeOnError(err)
	}
	l.writer = writer
	return l.closeOnError(l.join(ctx))
}

// join makes the schema if there is none, and gives this machine a number if it has none yet.
func (l *Ledger) join(ctx context.Context) error {
	if err := l.prepareShared(ctx, l.schema); err != nil {
		return err
	}
	return l.write(ctx, func(tx *sql.Tx) error { return l.register(ctx, tx) })
}

// OpenSharedReadOnly opens a state that several machines share, for reading. It changes nothing.
func OpenSharedReadOnly(ctx context.Context, d postgres.Database, machine string) (*Ledger, error) {
	l, err := openShared(d, machine)
	if err != nil {
		return nil, err
	}
	return l.closeOnError(l.read(ctx, func(tx *sql.Tx) error {
		found, err := sharedVersion(ctx, tx, l.schema)
		if err == nil {
			err = sqlite.CheckVersion(found, version)
		}
		if err != nil {
			return err
		}
		number, err := numberOf(ctx, tx, machine)
		l.machine.Store(bitOf(number))
		return err
	}))
}

// openShared opens a shared state for reading.
func openShared(d postgres.Database, machine string) (*Ledger, error) {
	db, err := d.Pool(readers, true)
	if err != nil {
		return nil, fmt.Errorf("open the state %s: %w", d.Place(), err)
	}
	return &Ledger{db: db, writer: db, path: d.Place(), shared: true, schema: d.Schema(), name: machine}, nil
}

// register gives this machine a number, if it has none yet. If it had one in the state before this one, it keeps that, unless another
// machine has it.
func (l *Ledger) register(ctx context.Context, tx *sql.Tx) error {
	number, err := numberOf(ctx, tx, l.name)
	if err != nil {
		return err
	}
	if number == 0 {
		const free = `SELECT CASE WHEN ?1 > 0 AND NOT EXISTS (SELECT * FROM machine WHERE number = ?1) THEN ?1
			ELSE (SELECT COALESCE(MAX(number), 0) + 1 FROM machine) END`
		if err := tx.QueryRowContext(ctx, free, l.number()).Scan(&number); err != nil {
			return err
		}
		if number > mostMachines {
			return fmt.Errorf("%d machines share it already, and no more can", mostMachines)
		}
		err = execEach(ctx, tx,
			statement{"INSERT INTO machine (number, name) VALUES (?, ?)", []any{number, l.name}},
			statement{"INSERT INTO local_api (machine) VALUES (?)", []any{number}})
	}
	l.machine.Store(bitOf(number))
	return err
}

// numberOf returns the number of a machine; 0: it has none.
func numberOf(ctx context.Context, tx *sql.Tx, machine string) (number int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT number FROM machine WHERE name = ?", machine).Scan(&number)
	return number, ignoreNoRows(err)
}

// IsShared reports whether several machines share the state.
func (l *Ledger) IsShared() bool { return l.shared }

// Place says where the state is, without a password.
func (l *Ledger) Place() string { return l.path }

// errNotShared says that a method needs a state that several machines share.
var errNotShared = errors.New("this state belongs to one machine alone")

// writeShared runs a transaction on a shared state.
func (l *Ledger) writeShared(ctx context.Context, do func(tx *sql.Tx) error) error {
	if !l.shared {
		return errNotShared
	}
	return l.write(ctx, do)
}
