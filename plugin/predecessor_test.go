package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyAProcessOfTheSameProgramAndParentIsASibling(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stat string
		want bool
	}{
		"the old plugin":             {"20 (notification-st) S 7 1 1", true},
		"ended, and not noticed":     {"20 (notification-st) Z 7 1 1", true},
		"of `crowdsec -t`":           {"20 (notification-st) S 8 1 1", false},
		"another plugin":             {"20 (notification-sl) S 7 1 1", false},
		"a name with brackets":       {"20 (a) b) S 7 1 1", false},
		"garbage":                    {"20", false},
		"garbage behind the bracket": {"20 (notification-st)", false},
	} {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			process(t, proc, 10, "10 (notification-st) S 7 1 1")
			process(t, proc, 20, c.stat)
			if err := os.Mkdir(filepath.Join(proc, "self"), 0o700); err != nil {
				t.Fatal(err)
			}
			if got := hasSibling(proc, 10); got != c.want {
				t.Errorf("hasSibling: %t", got)
			}
		})
	}
}

func TestANewProcessWaitsUntilShortlyAfterItsPredecessorEnds(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	process(t, proc, os.Getpid(), "1 (notification-st) S 7 1 1")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		awaitPredecessor(t.Context(), proc)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("without a predecessor, the process waited %s", waited)
		}
	})
	process(t, proc, 999999, "999999 (notification-st) S 7 1 1")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		time.AfterFunc(100*time.Millisecond, func() { _ = os.RemoveAll(filepath.Join(proc, "999999")) })
		awaitPredecessor(t.Context(), proc)
		if waited := time.Since(began); waited < 100*time.Millisecond+noticeTime || waited >= predecessorTimeout {
			t.Errorf("with a predecessor, the process waited %s", waited)
		}
	})
}

// process writes the stat file of a process.
func process(t *testing.T, proc string, pid int, stat string) {
	t.Helper()
	dir := filepath.Join(proc, fmt.Sprint(pid))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o600); err != nil {
		t.Fatal(err)
	}
}
