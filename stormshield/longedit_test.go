package stormshield_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// The edit stops between the file object, which is new already, and the file objectgroup.
func TestAnEditThatBreaksHalfWayIsRepairedByTheNextFlush(t *testing.T) {
	t.Parallel()
	cut := func(sim *snstest.Appliance) {
		sim.SetFaults(func(f *snstest.Faults) { f.SSHRefuse = true })
		sim.SetFaults(func(f *snstest.Faults) { f.SSHRefuse = false })
	}
	for name, breakEdit := range map[string]func(*snstest.Appliance){
		"the process is killed":                        (*snstest.Appliance).KillCommands,
		"the connection is cut":                        cut,
		"the connection is cut and the process killed": func(sim *snstest.Appliance) { cut(sim); sim.KillCommands() },
		"the appliance restarts":                       (*snstest.Appliance).Reboot,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			h.MustFlush(addresses(10), nil, true)
			const hold = `case "$*" in *objectgroup.1*) echo > $HOME/waits; until test -f $HOME/go; do sleep 0.02; done;; esac; exec /bin/mv "$@"`
			h.Sim.SetFaults(func(f *snstest.Faults) { f.BrokenTools = map[string]string{"mv": hold} })
			broken := make(chan error)
			go func() {
				awaitFile(t, h.Sim.Dir(), "waits")
				breakEdit(h.Sim)
				close(broken)
			}()
			if done, err := h.Flush(addresses(20)[10:], addresses(3), true); err == nil || done.Listed {
				t.Errorf("the flush succeeded: %+v", done)
			}
			<-broken
			if err := os.WriteFile(filepath.Join(h.Sim.Dir(), "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			h.Sim.SetFaults(func(f *snstest.Faults) { f.BrokenTools = nil })
			h.MustFlush(addresses(20)[10:], addresses(3), true)
			for began := time.Now(); len(h.Sim.Leftovers()) > 0; time.Sleep(5 * time.Millisecond) { // the old edit may still live
				if time.Since(began) > time.Minute {
					t.Fatalf("left beside the files: %q", h.Sim.Leftovers())
				}
				h.MustFlush(nil, nil, true)
			}
			h.WantInForce()
		})
	}
}

// awaitFile waits until a file is there.
func awaitFile(t *testing.T, folder, name string) {
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			return
		}
		if time.Since(began) > time.Minute {
			t.Errorf("no file %s", name)
			return
		}
	}
}
