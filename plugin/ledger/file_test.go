package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

func TestSeveralProcessesWriteOneLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	const writers, each = 4, 50
	failed := make(chan error, writers)
	for w := range writers {
		l := openAt(t, path) // its own connections, as another process has
		go func() {
			for i := range each {
				b := decided(fmt.Sprintf("203.0.%d.%d/32", w, i), start.Add(time.Hour))
				if _, err := l.Record(context.Background(), []ban.Decision{b}, start, many); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range writers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	l := openAt(t, path)
	want(t, "in force", plan(t, l, start).InForce, writers*each)
	news, err := l.News(t.Context())
	want(t, "changes", news.Change, int64(writers*each))
	want(t, "its own", news.Own, false)
	want(t, "error", err, nil)
}

func TestWhatDoesNotFitIntoMemoryGoesBesideTheLedger(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's; here")
	l := openAt(t, filepath.Join(dir, "test.db"))
	const query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT hex(randomblob(20)) AS x FROM n ORDER BY x"
	beside := false
	err := l.AtFirstRow(t.Context(), query, func() {
		open, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, number := range open {
			file, _ := os.Readlink(number)
			beside = beside || strings.HasPrefix(file, filepath.Join(dir, "etilqs_"))
		}
	})
	want(t, "error", err, nil)
	want(t, "its temporary files are beside the ledger", beside, true)
}

func TestTheErrorNamesTheFileThatIsClosedToTheProcess(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		path := filepath.Join(t.TempDir(), "test.db")
		openAt(t, path)
		if err := os.Chmod(path+suffix, 0); err != nil {
			t.Fatal(err)
		}
		_, err := ledger.Open(t.Context(), path)
		want(t, suffix+" is named", err != nil && strings.Contains(err.Error(), path+suffix+": permission denied"), true)
		want(t, suffix+" is why", errors.Is(err, fs.ErrPermission), true)
	}
}

func TestTheFilesAreTheOwnersOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "test.db")
	l := openAt(t, path)
	record(t, l, start, decided("203.0.113.1/32", start.Add(time.Minute)))
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "there are database and log", len(entries) >= 2, true)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		want(t, "mode of "+e.Name(), info.Mode().Perm(), os.FileMode(0o600))
	}
}

func TestWhatIsNoLedgerIsLeftAloneAndCanBeSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	garbage := []byte("this is no database, but somebody may want it\n")
	garbage = append(garbage, make([]byte, 4096)...)
	if err := os.WriteFile(path, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Open(t.Context(), path); !errors.Is(err, ledger.ErrUnreadable) {
		t.Fatalf("Open of garbage: %v", err)
	}
	aside, err := ledger.SetAside(path, start)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(aside)
	want(t, "kept", string(kept) == string(garbage) && err == nil, true)
	openAt(t, path)
}

func TestALedgerOfANewerVersionIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	if err := openAt(t, path).SetVersion(t.Context(), 99); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Open(t.Context(), path); !errors.Is(err, ledger.ErrNewer) {
		t.Errorf("Open of schema 99: %v", err)
	}
}

func TestAFileOfAnOlderDevelopmentBuildIsUnreadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	if err := openAt(t, path).SetVersion(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	_, err := ledger.Open(t.Context(), path)
	if !errors.Is(err, ledger.ErrUnreadable) || !strings.Contains(err.Error(), "development build") {
		t.Errorf("Open of schema 3: %v", err)
	}
}

func TestALedgerThatIsOpenForReadingIsNotChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	if _, err := ledger.OpenReadOnly(t.Context(), path); err == nil {
		t.Error("opened a file that is not there")
	}
	_, err := os.Stat(path)
	want(t, "it was not made", errors.Is(err, fs.ErrNotExist), true)
	writer := openAt(t, path)
	record(t, writer, start, decided("203.0.113.1/32", start.Add(time.Minute)))
	reader, err := ledger.OpenReadOnly(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	want(t, "in force", plan(t, reader, start).InForce, 1)
	if _, err := reader.Ask(t.Context()); err == nil {
		t.Error("it took a request")
	}
	for version, cause := range map[int]error{3: ledger.ErrUnreadable, 99: ledger.ErrNewer} {
		if err := writer.SetVersion(t.Context(), version); err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.OpenReadOnly(t.Context(), path); !errors.Is(err, cause) {
			t.Errorf("schema %d: %v", version, err)
		}
	}
}

func TestADamageAnywhereInTheFileIsFoundWhenItIsOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	l := openAt(t, path)
	var bans []ban.Decision
	for i := range 2000 {
		bans = append(bans, decided(fmt.Sprintf("203.0.%d.%d/32", i/256, i%256), start.Add(time.Hour)))
	}
	record(t, l, start, bans...)
	if err := l.Close(); err != nil { // which moves all into the file
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{100, info.Size() / 2, info.Size() - 4096} {
		damaged := filepath.Join(t.TempDir(), "damaged.db")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copy(text[at:], bytes.Repeat([]byte{0xa5}, 4096))
		if err := os.WriteFile(damaged, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.Open(t.Context(), damaged); !errors.Is(err, ledger.ErrUnreadable) {
			t.Errorf("opened with a damage at byte %d of %d: %v", at, info.Size(), err)
		}
	}
}

// The number of a change that failed is another process's then.
func TestAChangeThatFailedIsNotTakenForOnesOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, other := openAt(t, path), openAt(t, path)
	run := func(statement string) {
		t.Helper()
		if err := l.Run(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	run("CREATE TRIGGER full BEFORE UPDATE ON flushing BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
	if _, err := l.Record(t.Context(), []ban.Decision{decided("203.0.113.7/32", start.Add(time.Hour))}, start, 10); err == nil {
		t.Fatal("it was recorded")
	}
	run("DROP TRIGGER full")
	record(t, other, start, decided("203.0.113.8/32", start.Add(time.Hour)))
	news, err := l.News(t.Context())
	want(t, "changes", news.Change, int64(1))
	want(t, "its own", news.Own, false)
	want(t, "error", err, nil)
}
