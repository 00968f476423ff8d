// Package ledger remembers, durably, which bans must stand, what the appliance
// was told, and what it is still owed. One SQLite file serves one
// configuration name, and several processes may use it at once: what Record
// returned from survives any crash.
//
// It never talks to an appliance and never decides when to. Its main type is
// [Ledger]; [Open] opens one.
//
//	recorded, err := l.Record(ctx, bans, ledger.Alert, now, limit)  // when CrowdSec speaks
//	plan, err := l.Plan(ctx, ledger.Question{Now: now, …})          // what differs
//	err = l.Wrote(ctx, plan, outcome)                               // what the appliance acknowledged
//
// A prefix may be banned by several decisions, from several sources; it stands
// until the latest of them ends:
//
//	decision(prefix, source, uuid) → until        why
//	ban(prefix)                    → until        when it ends: the latest decision
//	                               → expires      when an entry of its own on the blacklist ends by itself
//	                               → written      the flush that wrote it to the appliance's files
//
// A ban whose end has passed is a removal owed. Its row goes once the
// appliance acknowledged that it is off the blacklist and out of the files.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

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
}

// Open opens the ledger in the file, making it, readable by its owner only, if
// there is none, and bringing an older schema up to date.
func Open(ctx context.Context, path string) (*Ledger, error) {
	if err := create(path); err != nil {
		return nil, fmt.Errorf("open the state: %w", err)
	}
	query := url.Values{"_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)",
		"foreign_keys(ON)", "cache_size(-2000)", "temp_store(FILE)",
	}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open the state %s: %w", path, err)
	}
	db.SetMaxOpenConns(2)
	db.SetMaxIdleConns(2)
	l := &Ledger{db: db, path: path}
	if err := l.migrate(ctx); err != nil {
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

// create makes an empty file that only its owner reads: SQLite gives its own
// files beside it the same mode.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func unreadable(err error) bool {
	var s *sqlite.Error
	if errors.As(err, &s) {
		switch s.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return true
		}
	}
	return false
}

// migrations bring a schema from one version to the next. The version is
// SQLite's user_version.
var migrations = []string{`
CREATE TABLE decision (
	prefix   TEXT NOT NULL,
	source   TEXT NOT NULL,     -- who said so: alert
	uuid     TEXT NOT NULL,     -- '' where CrowdSec gave none
	until    INTEGER NOT NULL,  -- milliseconds since 1970
	origin   TEXT NOT NULL,
	scenario TEXT NOT NULL,
	PRIMARY KEY (prefix, source, uuid)
) WITHOUT ROWID;

CREATE TABLE ban (
	prefix  TEXT PRIMARY KEY,
	until   INTEGER NOT NULL,            -- the latest decision's
	local   INTEGER NOT NULL,            -- 1: a detection of this CrowdSec, not of a list
	recorded INTEGER NOT NULL,           -- number of the change that brought it
	expires INTEGER NOT NULL DEFAULT 0,  -- when its own blacklist entry ends by itself; 0: it has none; 1: it may have one
	written INTEGER NOT NULL DEFAULT 0   -- the flush that wrote it to the files; 0: none; -1: off the blacklist again
) WITHOUT ROWID;
CREATE INDEX ban_until ON ban (until);
CREATE INDEX ban_written ON ban (written);
CREATE INDEX ban_lists ON ban (until) WHERE local = 0;

CREATE TABLE fact (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;
`}

// migrate runs what the file's version lacks, in one transaction, whoever
// comes first.
func (l *Ledger) migrate(ctx context.Context) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("%w: its schema is %d, and this program knows %d", ErrNewer, version, len(migrations))
		}
		for i := version; i < len(migrations); i++ {
			if _, err := tx.ExecContext(ctx, migrations[i]+fmt.Sprintf("PRAGMA user_version = %d;", i+1)); err != nil {
				return fmt.Errorf("bring the schema from version %d to %d: %w", i, i+1, err)
			}
		}
		return nil
	})
}

// write runs a transaction that takes the write lock at its start.
func (l *Ledger) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
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

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// fact is a named value that stands once in a ledger; "" if it does not.
func fact(ctx context.Context, q querier, name string) (string, error) {
	var value string
	err := q.QueryRowContext(ctx, "SELECT value FROM fact WHERE name = ?", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

func setFact(ctx context.Context, tx *sql.Tx, name, value string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO fact VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", name, value)
	return err
}

// milliseconds is how moments are stored.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func isLocal(origin string) bool {
	origin = strings.ToLower(origin)
	return origin != "capi" && origin != "console" && origin != "lists" && !strings.HasPrefix(origin, "lists:")
}
