package plugin

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

func TestAMachineMakesItsIdentityOnce(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := State{Identity: filepath.Join(folder, "test.identity")}
	if id, err := s.ReadIdentity(); id != "" || err != nil {
		t.Errorf("before it is made: %q, %v", id, err)
	}
	var made [8]string // of processes that start at the same time
	var starting sync.WaitGroup
	for i := range made {
		starting.Go(func() {
			var err error
			if made[i], err = s.makeIdentity(); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	if slices.Sort(made[:]); len(made[0]) < 20 || made[0] != made[len(made)-1] {
		t.Errorf("the identities: %q", made)
	}
	info, err := os.Stat(s.Identity)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Errorf("%d files are left", len(entries))
	}
	other := State{Identity: filepath.Join(t.TempDir(), "test.identity")}
	if id, err := other.makeIdentity(); err != nil || id == made[0] {
		t.Errorf("another machine: %q, %v", id, err)
	}
}

func TestAMachineWithoutAFolderHasNoIdentity(t *testing.T) {
	t.Parallel()
	s := State{Identity: filepath.Join(t.TempDir(), "missing", "test.identity")}
	if id, err := s.makeIdentity(); id != "" || err == nil {
		t.Errorf("%q, %v", id, err)
	}
}
