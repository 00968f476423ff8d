package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/sqlite"
)

func TestSeveralProcessesWriteOneLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	const writers, each = 4, 50
	failed := make(chan error, writers)
	for w := range writers {
		l := openAt(t, path) // its own connections, as another process has
		go func() {
			for i := range each {
				if _, err := l.Record(context.Background(), numbered(w*each+i, 1), start, noLimit); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range writers {
		check(t, <-failed)
	}
	l := openAt(t, path)
	want(t, "in force", plan(t, l, start).InForce, writers*each)
	changes, err := l.Changes(t.Context())
	want(t, "changes, error", fmt.Sprint(changes, err), fmt.Sprint(ledger.Changes{Change: writers * each}, nil))
}

func TestSQLitePutsTemporaryFilesBesideTheLedger(t *testing.T) {
	onlySQLite(t)
	dir := filepath.Join(t.TempDir(), "it's; here")
	l := openAt(t, filepath.Join(dir, "test.db"))
	const query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT hex(randomblob(20)) AS x FROM n ORDER BY x"
	rows, err := l.DB().QueryContext(t.Context(), query)
	check(t, err)
	defer rows.Close()
	want(t, "there are rows", rows.Next(), true) // SQLite still has the others
	open, err := filepath.Glob("/proc/self/fd/*")
	check(t, err)
	beside := slices.ContainsFunc(open, func(number string) bool {
		file, _ := os.Readlink(number)
		return strings.HasPrefix(file, filepath.Join(dir, "etilqs_"))
	})
	want(t, "its temporary files are beside the ledger", beside, true)
	check(t, rows.Err())
}

func TestTheErrorNamesAFileWithoutPermission(t *testing.T) {
	onlySQLite(t)
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		path := filepath.Join(t.TempDir(), "test.db")
		openAt(t, path)
		check(t, os.Chmod(path+suffix, 0))
		_, err := ledger.Open(t.Context(), path)
		want(t, suffix+" is named", err != nil && strings.Contains(err.Error(), path+suffix+": permission denied"), true)
		want(t, suffix+" is why", errors.Is(err, fs.ErrPermission), true)
	}
}

func TestOnlyTheOwnerCanReadTheFiles(t *testing.T) {
	onlySQLite(t)
	path := filepath.Join(t.TempDir(), "state", "test.db")
	l := openAt(t, path)
	record(t, l, start, decided("203.0.113.1/32", start.Add(time.Minute)))
	entries, err := os.ReadDir(filepath.Dir(path))
	check(t, err)
	want(t, "there are database and log", len(entries) >= 2, true)
	for _, e := range entries {
		info, err := e.Info()
		check(t, err)
		want(t, "mode of "+e.Name(), info.Mode().Perm(), os.FileMode(0o600))
	}
}

func TestOpenDoesNotChangeAnUnreadableFileAndSetAsideRenamesIt(t *testing.T) {
	onlySQLite(t)
	path := filepath.Join(t.TempDir(), "test.db")
	garbage := append([]byte("this is no database, but somebody may want it\n"), make([]byte, 4096)...)
	check(t, os.WriteFile(path, garbage, 0o600))
	if _, err := ledger.Open(t.Context(), path); !errors.Is(err, ledger.ErrUnreadable) {
		t.Fatalf("Open of garbage: %v", err)
	}
	aside, err := sqlite.SetAside(path, start)
	check(t, err)
	kept, err := os.ReadFile(aside)
	want(t, "kept", string(kept) == string(garbage) && err == nil, true)
	openAt(t, path)
}

func TestOpenRefusesALedgerOfAnotherVersion(t *testing.T) {
	onlySQLite(t)
	for version, c := range map[int]struct {
		cause error
		text  string
	}{3: {ledger.ErrUnreadable, "development build"}, 99: {sqlite.ErrNewer, "99"}} {
		path := filepath.Join(t.TempDir(), "test.db")
		run(t, openAt(t, path), fmt.Sprintf("PRAGMA user_version = %d", version))
		for how, open := range map[string]func(context.Context, string) (*ledger.Ledger, error){"Open": ledger.Open, "OpenReadOnly": ledger.OpenReadOnly} {
			if _, err := open(t.Context(), path); !errors.Is(err, c.cause) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s of schema %d: %v", how, version, err)
			}
		}
	}
}

func TestOpenReadOnlyChangesNothing(t *testing.T) {
	onlySQLite(t)
	path := filepath.Join(t.TempDir(), "test.db")
	if _, err := ledger.OpenReadOnly(t.Context(), path); err == nil {
		t.Error("OpenReadOnly opened a file that does not exist")
	}
	_, err := os.Stat(path)
	want(t, "the file was not made", errors.Is(err, fs.ErrNotExist), true)
	record(t, openAt(t, path), start, numbered(0, 1)...)
	reader, err := ledger.OpenReadOnly(t.Context(), path)
	check(t, err)
	defer reader.Close()
	want(t, "in force", plan(t, reader, start).InForce, 1)
	if _, err := reader.RequestFlush(t.Context()); err == nil {
		t.Error("a ledger opened for reading accepted a request")
	}
}

func TestOpenFindsADamageAnywhereInTheFile(t *testing.T) {
	onlySQLite(t)
	path := filepath.Join(t.TempDir(), "test.db")
	l := openAt(t, path)
	record(t, l, start, numbered(0, 2000)...)
	check(t, l.Close()) // which moves all into the file
	whole, err := os.ReadFile(path)
	check(t, err)
	for _, at := range []int{100, len(whole) / 2, len(whole) - 4096} {
		damaged := filepath.Join(t.TempDir(), "damaged.db")
		text := slices.Clone(whole)
		copy(text[at:], bytes.Repeat([]byte{0xa5}, 4096))
		check(t, os.WriteFile(damaged, text, 0o600))
		if _, err := ledger.Open(t.Context(), damaged); !errors.Is(err, ledger.ErrUnreadable) {
			t.Errorf("opened with a damage at byte %d of %d: %v", at, len(whole), err)
		}
	}
}

// The number of a failed change, or of one that changed nothing, goes to the next change of another process.
func TestChangesSeparatesOwnChangesFromThoseOfOtherProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, other := openAt(t, path), openAt(t, path)
	failAt(t, l, "UPDATE ON flushing", "NEW.changes > 0")
	if _, err := l.Record(t.Context(), numbered(0, 1), start, noLimit); err == nil {
		t.Fatal("the ledger recorded a change on a full disk")
	}
	run(t, l, map[bool]string{true: "DROP TRIGGER crash ON flushing", false: "DROP TRIGGER crash"}[l.IsShared()])
	record(t, other, start, numbered(1, 1)...)
	changes, err := l.Changes(t.Context())
	want(t, "changes, error", fmt.Sprint(changes, err), fmt.Sprint(ledger.Changes{Change: 1}, nil))
	record(t, l, start, numbered(1, 1)...) // known
	changes, err = l.Changes(t.Context())
	want(t, "changes after a known decision, error", fmt.Sprint(changes, err), fmt.Sprint(ledger.Changes{Change: 1}, nil))
}
