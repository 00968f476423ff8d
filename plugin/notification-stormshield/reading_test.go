package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/lockout"
)

// files returns the texts of all files in the state folder, without those that SQLite makes and removes.
func (w *harness) files() map[string]string {
	w.t.Helper()
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(w.dir, e.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		if !strings.HasSuffix(e.Name(), "-shm") && (len(text) > 0 || !strings.HasSuffix(e.Name(), "-wal")) {
			files[e.Name()] = string(text)
		}
	}
	return files
}

// damage makes the ledger unreadable.
func (w *harness) damage() {
	w.t.Helper()
	if err := os.WriteFile(plugin.StateOf(w.document()).Path, []byte(strings.Repeat("this is no database\n", 300)), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func TestACommandThatReadsChangesNoFile(t *testing.T) {
	for name, prepare := range map[string]func(w *harness){
		"a ban is pending":           func(w *harness) { w.record("203.0.113.7", 0) },
		"the ledger is damaged":      (*harness).damage,
		"the clock was set back":     (*harness).holdOffInTheFuture,
		"the log was not written in": (*harness).crash,
	} {
		w := newHarness(t)
		prepare(w)
		before := w.files()
		for _, args := range [][]string{{"status"}, {"status", "--json"}, {"bans"}, {"bans", "--json"}, {"bans", "203.0.113.7"}} {
			w.run(append(args, "-c", w.file)...)
			if after := w.files(); !maps.Equal(before, after) {
				t.Errorf("%s: %s changed files: there were %v, and there are %v", name, args, slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
			}
		}
	}
}

func (w *harness) holdOffInTheFuture() {
	w.t.Helper()
	w.record("203.0.113.7", 0)
	h := holdOffOf(w.document())
	if _, err := h.file.RecordFailure(h.credentials, lockout.Failure{Reason: "AUTH_FAILED"}, time.Now().Add(72*time.Hour)); err != nil {
		w.t.Fatal(err)
	}
}

// crash leaves the ledger of a killed process: its records are in SQLite's log alone.
func (w *harness) crash() {
	w.t.Helper()
	other := newHarness(w.t)
	other.record("203.0.113.7", 0) // the ledger stays open until the test ends
	for _, suffix := range []string{"", "-wal"} {
		text, err := os.ReadFile(plugin.StateOf(other.document()).Path + suffix)
		if err == nil {
			err = os.WriteFile(plugin.StateOf(w.document()).Path+suffix, text, 0o600)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}
