package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReloadsOfCrowdSecLoseNothing(t *testing.T) {
	everyCombination(t, func(t *testing.T, w *World) {
		const standing, afterwards = "203.0.113.80", "203.0.113.90"
		w.waitUntilEnforced(t, standing, w.CrowdSec.Ban(t, "--ip", standing, time.Hour), enforcedWithin)
		stayedBlocked := w.guardBans(t, standing)

		between := map[string]Decision{}
		for i := range 5 {
			value := fmt.Sprintf("203.0.113.%d", 81+i)
			// CrowdSec itself may drop what it has not handed over yet when a reload comes.
			between[value] = w.banUntilRecorded(t, "--ip", value, time.Hour)
			w.CrowdSec.Reload(t)
		}
		reloaded := time.Now()
		for value := range between {
			w.waitUntilEnforced(t, value, Decision{asked: reloaded}, 8*time.Second)
		}
		w.Plugin.waitUntilActive(t)
		w.waitUntilEnforced(t, afterwards, w.CrowdSec.Ban(t, "--ip", afterwards, time.Hour), enforcedWithin)
		if pids := w.Plugin.Processes(); len(pids) != 1 {
			t.Errorf("five reloads left the plugin's processes %v, want one", pids)
		}
		stayedBlocked()
	})
}

// CrowdSec 1.4.6 has neither the test alert nor reinject.
func TestOtherProcessesOfThePluginDisturbNobody(t *testing.T) {
	everyShell(t, func(t *testing.T, w *World) {
		const standing = "203.0.113.96"
		w.waitUntilEnforced(t, standing, w.CrowdSec.Ban(t, "--ip", standing, time.Hour), enforcedWithin)
		stayedBlocked := w.guardBans(t, standing)
		alert, _ := w.CrowdSec.newestAlert(t, standing)
		for i := range 3 {
			value := fmt.Sprintf("203.0.113.%d", 97+i)
			ban := w.CrowdSec.Ban(t, "--ip", value, time.Hour)
			w.CrowdSec.tryConfiguration(t)
			w.waitUntilEnforced(t, value, ban, 2*enforcedWithin)
			w.CrowdSec.mustCscli(t, "notifications", "reinject", strconv.Itoa(alert))
			testAlert(t, w)
			w.says(t, "check", "All is well")
			w.says(t, "status", ": working")
			w.says(t, "bans", value)
		}
		// What is re-injected comes with the time that remains, and may renew its entry.
		for _, value := range []string{"203.0.113.97", "203.0.113.98", "203.0.113.99"} {
			if times := w.Appliance.logged("+ " + value + " "); times != 1 {
				t.Errorf("%s was blocked %d times, want once", value, times)
			}
		}
		w.says(t, "flush", "4 bans in force, 0 still to block")
		if pids := w.Plugin.Processes(); len(pids) != 1 {
			t.Errorf("the plugin's processes %v, want one", pids)
		}
		w.Plugin.ownsItsState(t)
		stayedBlocked()
	})
}

// says fails the test if a command of the plugin does not go well and say so.
func (w *World) says(t testing.TB, command, text string) {
	t.Helper()
	if out, err := w.Plugin.Command(t, command); err != nil || !strings.Contains(out, text) {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
}

// ownsItsState fails the test for each file of the state that the plugin cannot write.
func (p *Plugin) ownsItsState(t testing.TB) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.values["StateDir"].(string), "*"))
	if err != nil || len(files) == 0 {
		t.Errorf("the state: %d files, %v", len(files), err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Sys().(*syscall.Stat_t).Uid != nobody {
			t.Errorf("%s is not the plugin's user's (%v)", file, err)
		}
	}
}
