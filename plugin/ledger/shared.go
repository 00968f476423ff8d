package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"notification-stormshield/plugin/postgres"
)

// mostMachines is how many machines share a state at most, because a set of machines is one number.
const mostMachines = 60

// readers is how many connections of a process read a shared state at once.
const readers = 3

// OpenShared opens a state that several machines share. machine is the name of this machine. It makes the tables if there are none.
func OpenShared(ctx context.Context, d postgres.Database, machine string) (*Ledger, error) {
	l, err := openShared(d)
	if err != nil {
		return nil, err
	}
	writer, err := d.Pool(1, false)
	if err != nil {
		return l.closeOnError(err)
	}
	l.writer = writer
	if err = l.prepareShared(ctx, d.Schema()); err == nil {
		err = l.write(ctx, func(tx *sql.Tx) error { return l.register(ctx, tx, machine) })
	}
	return l.closeOnError(err)
}

// OpenSharedReadOnly opens a state that several machines share, for reading. It changes nothing.
func OpenSharedReadOnly(ctx context.Context, d postgres.Database, machine string) (*Ledger, error) {
	l, err := openShared(d)
	if err != nil {
		return nil, err
	}
	return l.closeOnError(l.read(ctx, func(tx *sql.Tx) error {
		found, err := sharedVersion(ctx, tx, d.Schema())
		if err == nil {
			err = checkVersion(found)
		}
		if err != nil {
			return err
		}
		number, err := numberOf(ctx, tx, machine)
		l.machine = bitOf(number)
		return err
	}))
}

// openShared opens a shared state for reading.
func openShared(d postgres.Database) (*Ledger, error) {
	db, err := d.Pool(readers, true)
	if err != nil {
		return nil, fmt.Errorf("open the state %s: %w", d.Place(), err)
	}
	return &Ledger{db: db, writer: db, path: d.Place(), shared: true}, nil
}

// register gives this machine a number, if it has none yet.
func (l *Ledger) register(ctx context.Context, tx *sql.Tx, machine string) error {
	number, err := numberOf(ctx, tx, machine)
	if err != nil {
		return err
	}
	if number == 0 {
		if err := tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(number), 0) + 1 FROM machine").Scan(&number); err != nil {
			return err
		}
		if number > mostMachines {
			return fmt.Errorf("%d machines share it already, and no more can", mostMachines)
		}
		err = insertMachine(ctx, tx, number, machine)
	}
	l.name, l.machine = machine, bitOf(number)
	return err
}

func insertMachine(ctx context.Context, tx *sql.Tx, number int64, name string) error {
	return execEach(ctx, tx,
		statement{"INSERT INTO machine (number, name) VALUES (?, ?)", []any{number, name}},
		statement{"INSERT INTO local_api (machine) VALUES (?)", []any{number}})
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
