// Package ledger stores, durably, the decisions of CrowdSec and what the appliance acknowledged of them. One SQLite file serves one
// configuration, and several processes use it at once. Several machines share one ledger in PostgreSQL.
//
// It never talks to an appliance and never decides when to flush. Its main type is [Ledger]; [Open] opens one in a file, and [OpenShared]
// one in PostgreSQL.
//
//	recorded, err := l.Record(ctx, decisions, now, limit)     // store the decisions of an alert
//	plan, err := l.Plan(ctx, ledger.PlanOptions{Now: now, …}) // find out what is pending
//	err = l.RecordAttempt(ctx, plan)                          // before the flush blocks anything
//	err = l.RecordUnsure(ctx, plan)                           // before the flush changes the files
//	waits, err := l.RecordOutcome(ctx, plan, outcome, now)    // after the flush
//
// Every process calls Record. Only the holder of the lease calls the other ones, and sets a damaged file aside.
//
// # Decisions and bans
//
// A decision blocks one prefix, which is an address or a range, until its end. Several decisions may block the same prefix.
// A ban is their sum. It ends when the last of them ends, and its class is the best of theirs.
//
// An alert brings a decision ([Ledger.Record]), and the Local API lists it ([Ledger.RecordListed]). The ledger stores it once. Two
// deliveries on one prefix are the same decision if they carry the same UUID. If one has no UUID, they are the same if they carry
// the same ID. If one has no ID either, they are the same if their ends are within 3 s.
//
// The ledger removes a decision when it has ended, when the Local API reports it as deleted ([Ledger.RemoveDeleted]), when two full
// reads in a row lacked it ([Ledger.EndMissing]), and when the filter of the configuration refuses it ([Ledger.ApplyFilter]). A
// decision that somebody lifted by hand ([Ledger.Lift]) stays until it ends or is deleted, and never blocks again. So the next full
// read does not bring the ban back, and a new decision does.
//
// All decisions are stored, and a limited number of bans is enforced: the best class first, and within a class the ban with the
// decision that was recorded last. The others wait until there is room.
//
// # What the appliance acknowledged
//
// Two columns of each ban say what it may have left on the appliance. These are its traces:
//
//	expires   when its own entry on the blacklist ends; 0: it has none; 1: it may have one
//	written   the flush that wrote it to the files; 0: it is not in them; -1: it may be
//
// A ban in force is pending until it has an entry that lasts, of its own or by the group. A ban that has ended or waits is pending as
// long as it may have an entry. The files follow with the next flush that writes them: [Plan.FilesDiffer] reports whether they differ.
// Without credentials for SSH the target has no group, and no ban is in the files.
//
// A flush may stop at any step, also by a crash. So RecordAttempt records, before the flush blocks anything, which bans may have
// an entry. Before a flush changes the files, RecordUnsure records that the next flush compares the whole files.
//
// A ban that ended or waited may come back at the moment at which a flush removes its entry. So a ban that comes back while it has a
// trace gets expires 1, and written -1 if it was in the files. The same holds for a ban that comes back during the flush that first
// writes it.
//
// The mark identifies the text of the appliance's files after a flush. While the files still have it, a flush sends the pending
// changes and reads nothing. So two rules hold while the ledger has a mark: every name of ours in the files has a ban with a trace,
// and every ban in force with written above 0 is in the files. RecordOutcome removes the old mark before it changes bans, and stores
// the new mark after that.
//
// A flush that blocks everything settles most bans: a plan reads only the bans that changed since then. The column look says which these
// are.
//
// All this is about one appliance and its groups, the [Target]. When the configuration names others, or another appliance
// answers, everything is pending again: see [Ledger.SetTarget].
//
// # Two engines
//
// The tables and the statements are the same in SQLite and PostgreSQL. The driver of package postgres translates the statements. Writers take
// turns in both: a transaction that writes begins with SQLite's lock of the file, or with an advisory lock in PostgreSQL. Only three things
// differ: the schema ([OpenShared] makes PostgreSQL's), how many rows one statement stores, and how many one transaction changes.
//
// # Several machines
//
// In a shared ledger each machine has a number, and each decision has the set of the machines that delivered it: its sources. A deletion
// or a full read of the Local API of one machine removes that machine from the sources. The decision goes with its last source. Machines
// do not call Record. They forward the messages of their outbox ([Ledger.Forward]), and record a beat every few seconds ([Ledger.Beat]).
//
// The machine that holds the shared lease takes over ([Ledger.TakeOver]). Each take-over begins a term. What the appliance acknowledged is
// recorded in the current term only. So a former holder that still runs gets [ErrNotHolder], and changes nothing.
//
// Each statement is written once, in SQLite's form. Package postgres translates it. Transactions that write wait for each other in
// PostgreSQL too, so the rules above hold in both.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"notification-stormshield/plugin/postgres"
	"notification-stormshield/plugin/sqlite"
)

// ErrUnreadable says that the file is damaged, or that an older development build made it. Open does not change the file.
var ErrUnreadable = errors.New("the ledger cannot be read")

// ErrUnavailable says that SQLite cannot open the file now: for example, the disk is full, or another process keeps it locked. On a shared
// state every call returns it while the database cannot be used.
var ErrUnavailable = errors.New("the ledger cannot be used now")

// Ledger is an open ledger. It is safe for concurrent use.
type Ledger struct {
	db     *sql.DB // for reading
	path   string
	shared bool   // several machines share it, in PostgreSQL
	schema string // of a shared state
	name   string // of this machine in a shared state
	// identity tells this machine from another one with the same name; "": not known.
	identity string
	machine  atomic.Int64 // the bit of this machine; see bitOf
	term     atomic.Int64 // of this machine as the holder of a shared state; 0: it did not take over
	// writer has one connection, because each connection keeps pages of the file in memory. It is db if the ledger is open for
	// reading alone: SQLite then refuses to write.
	writer *sql.DB
	// writing makes the writers of this process wait for each other here. They would poll for SQLite's lock.
	writing sync.Mutex
	own     atomic.Int64 // the last change that this Ledger made
}

// Open opens the ledger in the file. If there is no file, Open makes one that only its owner can read.
func Open(ctx context.Context, path string) (*Ledger, error) {
	db, writer, err := sqlite.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the state: %w", err)
	}
	l := newInFile(path, db, writer)
	if err = sqlite.Verify(ctx, writer); err == nil {
		err = l.prepare(ctx)
	}
	return l.closeOnError(err)
}

// OpenReadOnly opens the ledger in the file for reading. It never makes or changes a file.
func OpenReadOnly(ctx context.Context, path string) (*Ledger, error) {
	db, err := sqlite.OpenReadOnly(path)
	if err != nil {
		return nil, fmt.Errorf("open the state: %w", err)
	}
	l := newInFile(path, db, db)
	return l.closeOnError(l.read(ctx, func(tx *sql.Tx) error {
		found, err := sqlite.Version(ctx, tx)
		if err != nil {
			return err
		}
		return sqlite.CheckVersion(found, version)
	}))
}

// newInFile returns the ledger of one machine with these pools.
func newInFile(path string, db, writer *sql.DB) *Ledger {
	l := &Ledger{db: db, writer: writer, path: path}
	l.machine.Store(bitOf(1))
	return l
}

// closeOnError returns the ledger if err is nil. Otherwise it closes the ledger and explains the error.
func (l *Ledger) closeOnError(err error) (*Ledger, error) {
	if err == nil {
		return l, nil
	}
	_ = l.Close()
	if sqlite.IsDamaged(err) {
		err = fmt.Errorf("%w (%w)", ErrUnreadable, err)
	} else if sqlite.IsError(err) || l.shared && postgres.IsAway(err) {
		err = fmt.Errorf("%w (%w)", ErrUnavailable, err)
	}
	return nil, fmt.Errorf("open the state %s: %w", l.path, err)
}

// Close closes the ledger.
func (l *Ledger) Close() error { return errors.Join(l.db.Close(), l.writer.Close()) }

// explain adds to an error what failed, and where; nil stays nil.
func (l *Ledger) explain(err error, what string, values ...any) error {
	if err == nil {
		return nil
	}
	if l.shared && postgres.IsAway(err) {
		err = fmt.Errorf("%w (%w)", ErrUnavailable, err)
	}
	return fmt.Errorf("%s in %s: %w", fmt.Sprintf(what, values...), l.path, err)
}

// exec runs one statement in a transaction of its own.
func (l *Ledger) exec(ctx context.Context, statement string, parameters ...any) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement, parameters...)
		return err
	})
}

// write runs a transaction that takes the write lock at its start.
func (l *Ledger) write(ctx context.Context, do func(tx *sql.Tx) error) (err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	tx, err := l.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	own := l.own.Load()
	defer func() {
		if err != nil { // another process may use that number now
			l.own.Store(own)
		}
	}()
	defer func() { _ = tx.Rollback() }()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// read runs queries on one snapshot of the file.
func (l *Ledger) read(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return do(tx)
}
