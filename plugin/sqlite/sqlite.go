// Package sqlite opens the SQLite files of the state folder, for the ledger and for the outbox. [Open] makes a file if there is none, and
// names a file that this process may not open. [IsDamaged] tells a damaged file from one that cannot be used now ([IsError]).
//
// The package knows no tables, and never changes a damaged file, except that [SetAside] renames it.
//
//	reader, writer, err := sqlite.Open(path)
//	err = sqlite.Verify(ctx, writer) // finds damage anywhere in the file
package sqlite

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
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite" // the driver, and its errors
	sqlite3 "modernc.org/sqlite/lib"
)

// busyTimeout is how long a write waits for the write of another process.
const busyTimeout = 4 * time.Second

// Open returns two pools of connections to a file: one that reads, and one that writes. If there is no file, Open makes an empty one that
// only its owner can read. A commit is on disk when it returns.
func Open(path string) (reader, writer *sql.DB, err error) {
	if err = create(path); err == nil {
		err = checkAccess(path, unix.R_OK|unix.W_OK)
	}
	if err != nil {
		return nil, nil, err
	}
	if reader, err = openReader(path, url.Values{}); err != nil {
		return nil, nil, err
	}
	// The writer has one connection, because each connection keeps pages of the file in memory.
	writer, err = connect(path, 1, url.Values{
		"_pragma": {"cache_size(-2000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)"}, "_txlock": {"immediate"},
	})
	if err != nil {
		return nil, nil, errors.Join(err, reader.Close())
	}
	return reader, writer, nil
}

// OpenReadOnly returns a pool of connections that read a file. It makes and changes no file.
func OpenReadOnly(path string) (*sql.DB, error) {
	if err := checkAccess(path, unix.R_OK); err != nil {
		return nil, err
	}
	return openReader(path, url.Values{"mode": {"ro"}})
}

// Verify checks the whole file. For a damaged one the error is a [DamagedError], or one of SQLite.
func Verify(ctx context.Context, db *sql.DB) error {
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return DamagedError(found)
	}
	return nil
}

// ErrNewer says that a newer version of this program made the tables.
var ErrNewer = errors.New("a newer version of this program made it")

// Version returns the version of the tables in a file (user_version); 0: it has none.
func Version(ctx context.Context, from interface {
	QueryRowContext(ctx context.Context, text string, parameters ...any) *sql.Row
}) (found int, err error) {
	err = from.QueryRowContext(ctx, "PRAGMA user_version").Scan(&found)
	return found, err
}

// CheckVersion returns an error if this program cannot use tables of the version found. known is the only version that it can use.
// The error is [ErrNewer] for a newer version, and a [DamagedError] for an older one.
func CheckVersion(found, known int) error {
	switch {
	case found == 0:
		return errors.New("it is empty (hint: try again, the plugin may be making it)")
	case found > known:
		return fmt.Errorf("%w: its schema is %d, and this program knows %d", ErrNewer, found, known)
	case found < known:
		return DamagedError(fmt.Sprintf("a development build from before the first release made it (schema %d, this program needs %d)", found, known))
	}
	return nil
}

// DamagedError says why this program cannot use a file that SQLite can open.
type DamagedError string

func (e DamagedError) Error() string { return "it is damaged: " + string(e) }

// create makes an empty file that only its owner can read, if there is no file. SQLite gives its mode and owner to the files
// beside it. create does not open an existing file, because closing it would end SQLite's locks on it in this process.
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

// checkAccess returns an error that names the first file that this process cannot open. SQLite's own error names none.
func checkAccess(path string, mode uint32) error {
	for _, file := range []string{filepath.Dir(path), path, path + "-wal", path + "-shm"} {
		err := unix.Access(file, mode)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &fs.PathError{Op: "open", Path: file, Err: err}
		}
	}
	return nil
}

// openReader makes a pool of two connections that read the file.
func openReader(path string, query url.Values) (*sql.DB, error) {
	query["_pragma"] = []string{"cache_size(-1000)", "query_only(ON)"}
	return connect(path, 2, query)
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
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db, nil
}

// quoted returns a string literal of SQL.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// IsDamaged reports whether an error says that a file is damaged, or is no file of SQLite.
func IsDamaged(err error) bool {
	if errors.As(err, new(DamagedError)) {
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

// IsError reports whether an error comes from SQLite. For example, the disk is full, or another process keeps the file locked.
func IsError(err error) bool { return errors.As(err, new(*sqlite.Error)) }
