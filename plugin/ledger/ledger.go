// Package ledger records durably which bans are in force, what the appliance
// acknowledged, and what is pending. One SQLite file serves one configuration name,
// and several processes may use it at once. A ban survives any crash once Record has
// returned.
//
// It never talks to an appliance and never decides when to. Its main type is
// [Ledger]; [Open] opens one.
//
//	recorded, err := l.Record(ctx, bans, ledger.Alert, now, limit)  // when CrowdSec speaks
//	plan, err := l.Plan(ctx, ledger.Question{Now: now, …})          // what differs
//	err = l.Wrote(ctx, plan, outcome)                               // what the appliance acknowledged
//
// A prefix has one row. It may be banned by several decisions, and stands until
// the latest of them ends:
//
//	ban(prefix) → until      when it ends
//	            → expires    when an entry of its own on the blacklist ends by itself;
//	                         0: it has none; 1: it may have one
//	            → written    the flush that wrote it to the appliance's files;
//	                         0: it is not in them; -1: it may be
//
// Two sources say what is banned: alerts ([Ledger.Record]) and the Local API's list
// ([Ledger.List], [Ledger.Unlist]). A reading of the list knows the alerts that
// were recorded before it began ([Ledger.BeginRead]), and of newer ones nothing:
//
//	event                    its prefix is not banned   banned by an alert            listed, or both
//	an alert                 stands until its end       the later end counts          the later end counts
//	listed, alert known      stands until its end       the list's end counts         the list's end counts
//	listed, alert newer      stands until its end       the later end counts          the alert's or the list's, the later
//	not listed, alert known  nothing                    ends                          ends
//	not listed, alert newer  nothing                    stands                        the alert's end counts
//	removed by hand          nothing                    ends                          ends
//
// What is not listed any more is said by the number of the decision; if another
// one lists the prefix, that is a doubt, and nothing ends until it is sure that no
// other does, or a full reading has not found it. A full reading that does not
// find what was listed says the same by itself, of numbers below the greatest that
// it found: an answer may lack its end ([Ledger.EndRead]). CrowdSec hands an alert
// out before it stores it: what ended before an alert came, or is not found within
// seconds of one, counts as said without knowing it.
//
// A ban whose end has passed must be removed: from the blacklist if written or
// expires is above 0, from the files if written is not 0. Its row goes once the
// appliance acknowledged both. A ban in force whose written is -1 is one that
// had ended and was recorded anew: it needs to be written, and an entry of its
// own, whatever it still has.
//
// A flush tells the appliance what differs, and not all that is in force. It
// can, for as long as the appliance's files are the ones that a flush left
// there; the appliance gives these a mark, opaque to the ledger. While a mark
// stands in the ledger, then of the files that it tells of
//
//   - every name of ours in them has a row whose written is not 0;
//   - every row in force whose written is above 0 is in them.
//
// So a mark is stored after all that a flush changed, and taken back before.
//
// A ledger is about one appliance and its groups, the [Target]. When the
// configuration names another appliance or other groups, or another appliance
// answers, everything is pending: see [Ledger.SetTarget].
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite" // the driver, and its errors
	sqlite3 "modernc.org/sqlite/lib"
)

// busyTimeout is how long a write waits for another process's.
const busyTimeout = 4 * time.Second

// ErrUnreadable says that the file is no ledger that this version can read. It
// is left as it is.
var ErrUnreadable = errors.New("the ledger cannot be read")

// ErrNewer says that a newer version of this program wrote the file. It is
// left as it is.
var ErrNewer = errors.New("the ledger is of a newer version")

// Ledger is an open ledger. It is safe for concurrent use.
type Ledger struct {
	db   *sql.DB
	path string
	// writing makes the writers of this process queue here instead of polling
	// for SQLite's lock.
	writing sync.Mutex
	queue   queue
	own     atomic.Int64 // number of the last change that this ledger made itself
}

// Open opens the ledger in the file, making it, readable by its owner only, if
// there is none, and bringing an older schema up to date.
func Open(ctx context.Context, path string) (*Ledger, error) {
	err := create(path)
	if err == nil {
		err = writable(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the state: %w", err)
	}
	// SQLite's temporary files go to the ledger's folder. No other folder is certainly
	// writable: TMPDIR may belong to root, and /tmp may be read-only.
	query := url.Values{"_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)",
		"foreign_keys(ON)", "cache_size(-2000)", "temp_store(FILE)", "temp_store_directory(" + quoted(filepath.Dir(path)) + ")",
	}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open the state %s: %w", path, err)
	}
	db.SetMaxOpenConns(2)
	db.SetMaxIdleConns(2)
	l := &Ledger{db: db, path: path}
	err = l.verify(ctx)
	if err == nil {
		err = l.migrate(ctx)
	}
	if err != nil {
		db.Close()
		if unreadable(err) {
			err = fmt.Errorf("%w (%w)", ErrUnreadable, err)
		}
		return nil, fmt.Errorf("open the state %s: %w", path, err)
	}
	return l, nil
}

// SetAside moves an unreadable ledger out of the way, beside where it was, so
// that a new one can be made and the old one be looked at. It returns the new
// place.
func SetAside(path string, now time.Time) (string, error) {
	aside := path + ".unreadable-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("set the unreadable state aside: %w", err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return aside, fmt.Errorf("set the unreadable state aside: %w", err)
		}
	}
	return aside, nil
}

// Close closes the ledger.
func (l *Ledger) Close() error { return l.db.Close() }

// quoted returns a string literal of SQL.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// create makes an empty file that only its owner can read, if there is no file.
// SQLite gives the same mode and owner to its files beside it. create does not open
// an existing file: closing it would end the locks that SQLite holds on it in this
// process.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// writable returns an error for a file that this process may not open. SQLite's own
// error does not name the file.
func writable(path string) error {
	for _, file := range []string{filepath.Dir(path), path, path + "-wal", path + "-shm"} {
		err := unix.Access(file, unix.R_OK|unix.W_OK)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &fs.PathError{Op: "write to", Path: file, Err: err}
		}
	}
	return nil
}

// errDamaged says what SQLite found wrong with a file that it can open.
type errDamaged string

func (e errDamaged) Error() string { return "it is damaged: " + string(e) }

// verify looks through the whole file: a damage is to be found when the ledger
// is opened, and not when the first alert comes that meets it.
func (l *Ledger) verify(ctx context.Context) error {
	var found string
	if err := l.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return errDamaged(found)
	}
	return nil
}

func unreadable(err error) bool {
	var damaged errDamaged
	if errors.As(err, &damaged) {
		return true
	}
	var s *sqlite.Error
	if errors.As(err, &s) {
		switch s.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return true
		}
	}
	return false
}

// write runs a transaction that takes the write lock at its start.
func (l *Ledger) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.transact(ctx, do)
}

// transact is write for whoever holds the lock.
func (l *Ledger) transact(ctx context.Context, do func(tx *sql.Tx) error) (err error) {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	own := l.own.Load()
	defer func() {
		if err != nil { // the number is free for another process
			l.own.Store(own)
		}
	}()
	defer func() { _ = tx.Rollback() }()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// read runs queries on one state of the ledger.
func (l *Ledger) read(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return do(tx)
}
