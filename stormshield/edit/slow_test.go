package edit_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

// open logs in to an appliance; timeout 0 is the default.
func open(t *testing.T, sim *snstest.Appliance, timeout time.Duration) *edit.Files {
	t.Helper()
	client, err := shell.NewDialer(shell.Config{
		Host: sim.Host(), Port: sim.SSHPort(), User: sim.User(), Password: sim.Password(), HostKey: sim.HostKeyFingerprint(), Timeout: timeout,
	}).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return edit.NewFiles(sim.ConfigDir(), "Crowdsec", client)
}

// block blocks an address, if the files are still the ones that were read.
func block(t *testing.T, files *edit.Files, was edit.Texts, address string) error {
	p := objects.Patch{Group: "Crowdsec", DeleteGroup: "Gone", InForce: objects.NewSet([]netip.Prefix{netip.MustParsePrefix(address)})}
	_, err := files.Patch(t.Context(), was.State(p.Group), p)
	return err
}

func read(t *testing.T, files *edit.Files) edit.Texts {
	t.Helper()
	texts, err := files.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// TestOnlyAServerThatSendsNothingEndsTheConnection is the short one.
func TestLongAnEditThatTakesManyTimesTheTimeOutSucceeds(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"awk", "cksum", "mv"} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			sim := snstest.Start(t)
			files := open(t, sim, 2*time.Second)
			was := read(t, files)
			sim.SetFaults(func(f *snstest.Faults) {
				f.BrokenTools = map[string]string{tool: "sleep 3; PATH=/usr/bin:/bin exec " + tool + ` "$@"`}
			})
			began := time.Now()
			if err := block(t, files, was, "192.0.2.1/32"); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took < 6*time.Second {
				t.Errorf("the edit took %s", took)
			}
		})
	}
}

// brokenEdit begins an edit that stops in awk until letGo, and cuts its connection. It returns the folder of the edit.
func brokenEdit(t *testing.T, sim *snstest.Appliance, address string) (folder string) {
	t.Helper()
	holdAwk(sim, "old")
	files := open(t, sim, 0)
	was := read(t, files)
	ended := make(chan error)
	go func() { ended <- block(t, files, was, address) }()
	awaitAwk(t, sim, "old")
	folder = sim.Leftovers()[0]
	sim.SetFaults(func(f *snstest.Faults) { f.SSHRefuse = true })
	if err := <-ended; err == nil {
		t.Fatal("an edit succeeded over a cut connection")
	}
	sim.SetFaults(func(f *snstest.Faults) { f.SSHRefuse, f.BrokenTools = false, nil })
	return folder
}

// holdAwk stops awk in edits that begin from now on, until letGo.
func holdAwk(sim *snstest.Appliance, name string) {
	text := "echo > $HOME/" + name + ".waits; until test -f $HOME/" + name + `; do sleep 0.02; done; PATH=/usr/bin:/bin exec awk "$@"`
	sim.SetFaults(func(f *snstest.Faults) { f.BrokenTools = map[string]string{"awk": text} })
}

func awaitAwk(t *testing.T, sim *snstest.Appliance, name string) {
	t.Helper()
	eventually(t, "awk runs", func() bool {
		_, err := os.Stat(filepath.Join(sim.Dir(), name+".waits"))
		return err == nil
	})
}

func letGo(t *testing.T, sim *snstest.Appliance, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(sim.Dir(), name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for began := time.Now(); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// wantBlocked fails the test unless exactly some of the first two addresses are in the file object.
func wantBlocked(t *testing.T, sim *snstest.Appliance, first, second bool) {
	t.Helper()
	text := string(sim.Read("object"))
	if strings.Contains(text, "crowdsec_ip_1=") != first || strings.Contains(text, "crowdsec_ip_2=") != second {
		t.Errorf("object is\n%s", text)
	}
}

func TestARunKeepsTheFolderOfAnEditThatStillWorks(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*snstest.Options){
		"sh":  func(*snstest.Options) {},
		"csh": func(o *snstest.Options) { o.LoginShell = "/bin/csh" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := snstest.Start(t, set)
			folder := brokenEdit(t, sim, "0.0.0.1/32")
			files := open(t, sim, 0)
			if err := block(t, files, read(t, files), "0.0.0.2/32"); err != nil {
				t.Fatal(err)
			}
			if want := []string{folder}; !slices.Equal(sim.Leftovers(), want) {
				t.Errorf("beside the files is %q, want %q", sim.Leftovers(), want)
			}
			letGo(t, sim, "old")
			eventually(t, "the old edit ends", func() bool { return len(sim.Leftovers()) == 0 })
			wantBlocked(t, sim, false, true) // the old edit saw that the files changed
		})
	}
}

func TestAnEditWithoutConnectionEndsAndTheNextOneSeesItsChange(t *testing.T) {
	t.Parallel()
	sim := snstest.Start(t)
	folder := brokenEdit(t, sim, "0.0.0.1/32")
	holdAwk(sim, "new")
	files := open(t, sim, 0)
	was := read(t, files)
	ended := make(chan error)
	go func() { ended <- block(t, files, was, "0.0.0.2/32") }()
	awaitAwk(t, sim, "new")
	letGo(t, sim, "old")
	eventually(t, "the old edit ends", func() bool { return !slices.Contains(sim.Leftovers(), folder) })
	letGo(t, sim, "new")
	if err := <-ended; !errors.Is(err, edit.ErrChanged) {
		t.Errorf("the new edit did not see the change: %v", err)
	}
	wantBlocked(t, sim, true, false)
	if err := block(t, files, read(t, files), "0.0.0.2/32"); err != nil {
		t.Error(err)
	}
	wantBlocked(t, sim, true, true)
	if left := sim.Leftovers(); len(left) > 0 {
		t.Errorf("beside the files is %q", left)
	}
}

func TestARunRemovesTheFolderOfAKilledEdit(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{
		"killed": 0,
		"killed a day ago, and another process has its number": 25 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := snstest.Start(t)
			folder := filepath.Join(sim.ConfigDir(), brokenEdit(t, sim, "0.0.0.1/32"))
			sim.KillCommands()
			if age > 0 {
				err := os.WriteFile(filepath.Join(folder, "process"), []byte("1\n"), 0o600)
				then := time.Now().Add(-age)
				if err := errors.Join(err, os.Chtimes(folder, then, then)); err != nil {
					t.Fatal(err)
				}
			}
			files := open(t, sim, 0)
			eventually(t, "the folder is gone", func() bool { // the killed process may live for a moment
				if err := block(t, files, read(t, files), "0.0.0.2/32"); err != nil {
					t.Fatal(err)
				}
				return len(sim.Leftovers()) == 0
			})
			wantBlocked(t, sim, false, true)
		})
	}
}
