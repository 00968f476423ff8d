// Package outbox stores, durably and on this machine, the decisions of alerts that wait for the state that several machines share. One
// SQLite file serves one configuration, and several processes use it at once.
//
// It never talks to the shared state: package forwarder does. Its main type is [Outbox]; [Open] opens one.
//
//	err := o.Add(ctx, decisions, now)           // store the decisions of an alert
//	messages, err := o.Next(ctx, after, 2000)   // read those that wait, in order
//	err = o.MarkForwarded(ctx, last, now)       // the shared state has them
//
// Every process calls Add. Only the holder of this machine's lease calls the methods that change anything else, and sets a damaged
// file aside.
//
// # Numbers
//
// Each message has a number, and a later message has a higher one. The shared state keeps the highest number that it has of this
// machine. So it finds out which messages are new, also when an answer was lost.
//
// A number is about the time in microseconds at which the message was added. So an outbox that begins anew, or that comes from a
// backup, does not give numbers again that the shared state has already.
//
// # After the forwarding
//
// The outbox keeps a message for a day after it was forwarded, because the shared state may come back from a backup. Then it lacks
// the last messages, and [Outbox.Align] makes them wait again.
//
// It also keeps for a day the prefixes that this machine began to block ([Outbox.RecordAttempt]). A state from a backup may lack the bans
// of these prefixes, although the appliance has entries of them.
package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"notification-stormshield/plugin/sqlite"
)

// ErrUnreadable says that the file is damaged, or that an older development build made it. Open does not change the file.
var ErrUnreadable = errors.New("the outbox cannot be read")

// ErrUnavailable says that SQLite cannot open the file now. For example, the disk is full, or another process keeps it locked.
var ErrUnavailable = errors.New("the outbox cannot be used now")

// Outbox is an open outbox. It is safe for concurrent use.
type Outbox struct {
	db     *sql.DB // for reading
	writer *sql.DB // of one connection; db if the outbox is open for reading alone
	path   string
	// writing makes the writers of this process wait for each other here. They would poll for SQLite's lock.
	writing sync.Mutex
	tidied  time.Time // when MarkForwarded last deleted old messages; writing guards it
}

// Open opens the outbox in the file. If there is no file, Open makes one that only its owner can read.
func Open(ctx context.Context, path string) (*Outbox, error) {
	db, writer, err := sqlite.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the outbox: %w", err)
	}
	o := &Outbox{db: db, writer: writer, path: path}
	if err = sqlite.Verify(ctx, writer); err == nil {
		err = o.prepare(ctx)
	}
	return o.closeOnError(err)
}

// OpenReadOnly opens the outbox in the file for reading. It never makes or changes a file.
func OpenReadOnly(ctx context.Context, path string) (*Outbox, error) {
	db, err := sqlite.OpenReadOnly(path)
	if err != nil {
		return nil, fmt.Errorf("open the outbox: %w", err)
	}
	o := &Outbox{db: db, writer: db, path: path}
	found, err := sqlite.Version(ctx, o.db)
	if err == nil {
		err = sqlite.CheckVersion(found, version)
	}
	return o.closeOnError(err)
}

// closeOnError returns the outbox if err is nil. Otherwise it closes the outbox and explains the error.
func (o *Outbox) closeOnError(err error) (*Outbox, error) {
	if err == nil {
		return o, nil
	}
	_ = o.Close()
	if sqlite.IsDamaged(err) {
		err = fmt.Errorf("%w (%w)", ErrUnreadable, err)
	} else if sqlite.IsError(err) {
		err = fmt.Errorf("%w (%w)", ErrUnavailable, err)
	}
	return nil, fmt.Errorf("open the outbox %s: %w", o.path, err)
}

// Close closes the outbox.
func (o *Outbox) Close() error { return errors.Join(o.db.Close(), o.writer.Close()) }

// Path returns the path of the file.
func (o *Outbox) Path() string { return o.path }

// explain adds to an error what failed, and where; nil stays nil.
func (o *Outbox) explain(err error, what string, values ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s in %s: %w", fmt.Sprintf(what, values...), o.path, err)
}

// write runs a transaction that takes the write lock at its start.
func (o *Outbox) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	tx, err := o.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}
