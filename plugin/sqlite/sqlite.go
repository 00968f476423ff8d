// Package sqlite opens the SQLite files of the state folder. It makes them, names the file that this process may not open, and tells
// a damaged file from one that cannot be used now.
//
// It knows no tables. The ledger and the outbox keep theirs in such files.
package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite" // the driver, and its errors
	sqlite3 "modernc.org/sqlite/lib"
)

// busyTimeout is how long a write waits for the write of another process.
const busyTimeout = 4 * time.Second

// Access is what a process does with a file.
type Access uint32

const (
	// Read is for a process that only reads.
	Read Access = unix.R_OK
	// Write is for a process that reads and writes.
	Write Access = unix.R_OK | unix.W_OK
)

// Create makes an empty file that only its owner can read, if there is no file. SQLite gives its mode and owner to the files
// beside it. Create does not open an existing file, because closing it would end SQLite's locks on it in this process.
func Create(path string) error {
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

// CheckAccess returns an error that names the first file that this process cannot open. SQLite's own error names none.
func CheckAccess(path string, how Access) error {
	for _, file := range []string{filepath.Dir(path), path, path + "-wal", path + "-shm"} {
		err := unix.Access(file, uint32(how))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &fs.PathError{Op: "open", Path: file, Err: err}
		}
	}
	return nil
}

// Reader makes a pool of two connections that read the file.
func Reader(path string, query url.Values) (*sql.DB, error) {
	query["_pragma"] = []string{"cache_size(-1000)", "query_only(ON)"}
	return connect(path, 2, query)
}

// Writer makes a pool of one connection that writes the file, because each connection keeps pages of the file in memory. A commit is on
// disk when it returns.
func Writer(path string) (*sql.DB, error) {
	return connect(path, 1, url.Values{
		"_pragma": {"cache_size(-2000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)"}, "_txlock": {"immediate"},
	})
}

// SetAside renames a damaged file within its folder, so that a new one can take its place. It returns the new path.
func SetAside(path string, now time.Time) (string, error) {
	aside := path + ".unreadable-" + now.UTC().Format("20060102T150405Z")
	// The log (-wal) is renamed first, because SQLite would write it into the new file.
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && (suffix == "" || !errors.Is(err, os.ErrNotExist)) {
			return "", err
		}
	}
	return aside, nil
}

// connect makes a pool of connections to a file. It opens none.
func connect(path string, most int, query url.Values) (*sql.DB, error) {
	// SQLite puts its temporary files into the file's folder, because only that one is known to be writable. TMPDIR may belong
	// to root, and /tmp may be read-only.
	query["_pragma"] = append([]string{fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())}, append(query["_pragma"],
		"temp_store(FILE)", "temp_store_directory("+quoted(filepath.Dir(path))+")")...)
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db, nil
}

// quoted returns a string literal of SQL.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// IsDamaged reports whether an error says that a file is damaged, or is no file of SQLite.
func IsDamaged(err error) bool {
	var s *sqlite.Error
	if errors.As(err, &s) {
		switch s.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return true
		}
	}
	return false
}

// IsError reports whether an error comes from SQLite. For example, the disk is full, or another process keeps the file locked.
func IsError(err error) bool { return errors.As(err, new(*sqlite.Error)) }
