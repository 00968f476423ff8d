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
	"notification-stormshield/plugin/plugintest"
)

// files returns the texts of all files in the state folder, without the files that SQLite makes and removes by itself.
func (h *harness) files() map[string]string {
	h.t.Helper()
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(h.dir, e.Name()))
		if err != nil {
			h.t.Fatal(err)
		}
		if !strings.HasSuffix(e.Name(), "-shm") && (len(text) > 0 || !strings.HasSuffix(e.Name(), "-wal")) {
			files[e.Name()] = string(text)
		}
	}
	return files
}

// damage makes the ledger unreadable.
func (h *harness) damage() {
	h.t.Helper()
	if err := plugintest.DamageFile(plugin.StateOf(h.document()).Path); err != nil {
		h.t.Fatal(err)
	}
}

func TestACommandThatReadsChangesNoFile(t *testing.T) {
	for name, prepare := range map[string]func(h *harness){
		"a ban is pending":           func(h *harness) { h.record("203.0.113.7", 0) },
		"the ledger is damaged":      (*harness).damage,
		"the clock was set back":     (*harness).holdOffInTheFuture,
		"the log was not written in": (*harness).crash,
	} {
		h := newHarness(t)
		prepare(h)
		before := h.files()
		for _, args := range [][]string{{"status"}, {"status", "--json"}, {"bans"}, {"bans", "--json"}, {"bans", "203.0.113.7"}} {
			h.run(append(args, "-c", h.file)...)
			if after := h.files(); !maps.Equal(before, after) {
				t.Errorf("%s: %s changed files: there were %v, and there are %v", name, args, slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
			}
		}
	}
}

func (h *harness) holdOffInTheFuture() {
	h.t.Helper()
	h.record("203.0.113.7", 0)
	holdOff, err := holdOffOf(h.document())
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := holdOff.store.RecordFailure(holdOff.credentials, lockout.Failure{Reason: "AUTH_FAILED"}, time.Now().Add(72*time.Hour)); err != nil {
		h.t.Fatal(err)
	}
}

// crash leaves the ledger of a killed process: its records are in SQLite's log alone.
func (h *harness) crash() {
	h.t.Helper()
	other := newHarness(h.t)
	other.record("203.0.113.7", 0) // the ledger stays open until the test ends
	for _, suffix := range []string{"", "-wal"} {
		text, err := os.ReadFile(plugin.StateOf(other.document()).Path + suffix)
		if err == nil {
			err = os.WriteFile(plugin.StateOf(h.document()).Path+suffix, text, 0o600)
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
}
