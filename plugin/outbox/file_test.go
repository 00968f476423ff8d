package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/outbox"
	"notification-stormshield/plugin/sqlite"
)

func TestOnlyTheOwnerCanReadTheFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "test.outbox.db")
	add(t, openAt(t, path), start, 1)
	entries, err := os.ReadDir(filepath.Dir(path))
	check(t, err)
	want(t, "there are database and log", len(entries) >= 2, true)
	for _, e := range entries {
		info, err := e.Info()
		check(t, err)
		want(t, "mode of "+e.Name(), info.Mode().Perm(), os.FileMode(0o600))
	}
}

func TestMessagesAreThereAfterTheProcessEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.outbox.db")
	o := openAt(t, path)
	add(t, o, start, 1, 2)
	check(t, o.MarkForwarded(t.Context(), messages(t, o, 0)[0].Number, start))
	check(t, o.Close())
	want(t, "waiting", waiting(t, openAt(t, path)), "2")
}

func TestOpenDoesNotChangeAnUnreadableFileAndSetAsideRenamesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.outbox.db")
	garbage := append([]byte("this is no database, but somebody may want it\n"), make([]byte, 4096)...)
	check(t, os.WriteFile(path, garbage, 0o600))
	if _, err := outbox.Open(t.Context(), path); !errors.Is(err, outbox.ErrUnreadable) || !strings.Contains(err.Error(), path) {
		t.Fatalf("Open of garbage: %v", err)
	}
	aside, err := sqlite.SetAside(path, start)
	check(t, err)
	kept, err := os.ReadFile(aside)
	check(t, err)
	want(t, "kept", string(kept) == string(garbage), true)
	add(t, openAt(t, path), start, 1)
	if _, err := sqlite.SetAside(path+"-that-is-missing", start); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("set a missing file aside: %v", err)
	}
}

func TestOpenFindsADamageAnywhereInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.outbox.db")
	o := openAt(t, path)
	check(t, o.Add(t.Context(), numbered(0, 100), start))
	for n := range 1000 {
		add(t, o, start, n)
	}
	check(t, o.Close()) // which moves all into the file
	whole, err := os.ReadFile(path)
	check(t, err)
	for _, at := range []int{100, len(whole) / 2 / 4096 * 4096, len(whole) - 4096} {
		damaged := filepath.Join(t.TempDir(), "damaged.db")
		text := slices.Clone(whole)
		copy(text[at:], bytes.Repeat([]byte{0xa5}, 4096))
		check(t, os.WriteFile(damaged, text, 0o600))
		if _, err := outbox.Open(t.Context(), damaged); !errors.Is(err, outbox.ErrUnreadable) {
			t.Errorf("opened with a damage at byte %d of %d: %v", at, len(whole), err)
		}
	}
}

func TestOpenRefusesAFileOfAnotherVersion(t *testing.T) {
	for version, c := range map[int]struct {
		cause error
		text  string
	}{1: {outbox.ErrUnreadable, "development build"}, 99: {sqlite.ErrNewer, "99"}} {
		path := filepath.Join(t.TempDir(), "test.outbox.db")
		run(t, openAt(t, path), fmt.Sprintf("PRAGMA user_version = %d", version))
		for how, open := range map[string]func(context.Context, string) (*outbox.Outbox, error){"Open": outbox.Open, "OpenReadOnly": outbox.OpenReadOnly} {
			if _, err := open(t.Context(), path); !errors.Is(err, c.cause) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s of schema %d: %v", how, version, err)
			}
		}
	}
}

func TestOpenReadOnlyChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.outbox.db")
	if _, err := outbox.OpenReadOnly(t.Context(), path); err == nil {
		t.Error("OpenReadOnly opened a file that does not exist")
	}
	_, err := os.Stat(path)
	want(t, "the file was not made", errors.Is(err, fs.ErrNotExist), true)
	add(t, openAt(t, path), start, 1)
	reader, err := outbox.OpenReadOnly(t.Context(), path)
	check(t, err)
	defer reader.Close()
	want(t, "waiting", waiting(t, reader), "1")
	if err := reader.Add(t.Context(), numbered(2, 1), start); err == nil {
		t.Error("an outbox opened for reading accepted a message")
	}
}

func TestTheErrorOfAFullDiskNamesTheFileAndTheCause(t *testing.T) {
	o := open(t)
	run(t, o, "PRAGMA max_page_count = 10")
	added := 0
	err := error(nil)
	for ; err == nil && added < 100_000; added++ {
		err = o.Add(t.Context(), numbered(added, 1), start)
	}
	if err == nil || !strings.Contains(err.Error(), "record 1 decisions in "+o.Path()) || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("the error of a full disk: %v", err)
	}
	want(t, "messages that were added", len(messages(t, o, 0)), added-1)
	run(t, o, "PRAGMA max_page_count = 1000000")
	add(t, o, start, added)
	want(t, "messages after there is space", len(messages(t, o, 0)), added)
}

// The decisions of the largest alerts are in memory once, because CrowdSec's text was. Their JSON may not be in memory at once.
func TestALargeAlertNeedsLittleMemory(t *testing.T) {
	o := open(t)
	decisions := numbered(0, 200_000)
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	peak := peakOf(func() { check(t, o.Add(t.Context(), decisions, start)) })
	want(t, "Add needs less than 24 MB", max(peak>>20, 24), uint64(24))
	peak = peakOf(func() {
		read := 0
		for after := int64(0); ; {
			some, err := o.Next(t.Context(), after, 2000)
			check(t, err)
			if len(some) == 0 {
				break
			}
			for _, m := range some {
				read, after = read+len(m.Decisions), m.Number
			}
			check(t, o.MarkForwarded(t.Context(), after, start))
		}
		want(t, "decisions", read, len(decisions))
	})
	want(t, "reading needs less than 24 MB", max(peak>>20, 24), uint64(24))
	w, err := o.Waiting(t.Context())
	check(t, err)
	want(t, "waiting", w, outbox.Waiting{})
	runtime.KeepAlive(decisions)
}

// peakOf returns by how much the heap grew at most while a function ran.
func peakOf(do func()) uint64 {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before, highest := heap(), uint64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			highest = max(highest, heap())
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	do()
	close(stop)
	<-stopped
	return max(highest, before) - before
}
