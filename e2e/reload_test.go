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

func TestReloadsOfCrowdSecLoseNoBan(t *testing.T) {
	forEachCombination(t, func(t *testing.T, env *Environment) {
		const standing, afterwards = "203.0.113.80", "203.0.113.90"
		env.waitUntilEnforced(t, standing, env.CrowdSec.Ban(t, "--ip", standing, time.Hour), enforcedWithin)
		stayedBlocked := env.guardBans(t, standing)

		between := map[string]Decision{}
		for i := range 5 {
			value := fmt.Sprintf("203.0.113.%d", 81+i)
			// At a reload CrowdSec may drop alerts that it has not sent yet.
			between[value] = env.banAndWaitUntilRecorded(t, "--ip", value, time.Hour)
			env.CrowdSec.Reload(t)
		}
		reloaded := time.Now()
		for value := range between {
			env.waitUntilEnforced(t, value, Decision{asked: reloaded}, 8*time.Second)
		}
		env.Plugin.waitUntilActive(t)
		env.waitUntilEnforced(t, afterwards, env.CrowdSec.Ban(t, "--ip", afterwards, time.Hour), enforcedWithin)
		if pids := env.Plugin.Processes(); len(pids) != 1 {
			t.Errorf("five reloads left the plugin's processes %v, want one", pids)
		}
		stayedBlocked()
	})
}

// CrowdSec 1.4.6 has neither `notifications test` nor `reinject`.
func TestOtherProcessesOfThePluginChangeNothing(t *testing.T) {
	forEachAccess(t, func(t *testing.T, env *Environment) {
		const standing = "203.0.113.96"
		env.waitUntilEnforced(t, standing, env.CrowdSec.Ban(t, "--ip", standing, time.Hour), enforcedWithin)
		stayedBlocked := env.guardBans(t, standing)
		alert, _ := env.CrowdSec.newestAlert(t, standing)
		for i := range 3 {
			value := fmt.Sprintf("203.0.113.%d", 97+i)
			ban := env.CrowdSec.Ban(t, "--ip", value, time.Hour)
			env.CrowdSec.tryConfiguration(t)
			env.waitUntilEnforced(t, value, ban, 2*enforcedWithin)
			env.CrowdSec.mustCscli(t, "notifications", "reinject", strconv.Itoa(alert))
			testAlert(t, env)
			env.checkCommandPrints(t, "check", "All is well")
			env.checkCommandPrints(t, "status", ": working")
			env.checkCommandPrints(t, "bans", value)
		}
		// A re-injected alert has the remaining time, and may renew its entry.
		for _, value := range []string{"203.0.113.97", "203.0.113.98", "203.0.113.99"} {
			if times := env.Appliance.logged("+ " + value + " "); times != 1 {
				t.Errorf("%s was blocked %d times, want once", value, times)
			}
		}
		env.checkCommandPrints(t, "flush", "4 bans in force, 0 still to block")
		if pids := env.Plugin.Processes(); len(pids) != 1 {
			t.Errorf("the plugin's processes %v, want one", pids)
		}
		env.Plugin.checkStateOwner(t)
		stayedBlocked()
	})
}

// checkCommandPrints fails the test if a command of the plugin fails, or does not print a text.
func (env *Environment) checkCommandPrints(t testing.TB, command, text string) {
	t.Helper()
	if out, err := env.Plugin.Command(t, command); err != nil || !strings.Contains(out, text) {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
}

// checkStateOwner fails the test for each file of the state that the plugin cannot write.
func (p *Plugin) checkStateOwner(t testing.TB) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.values["StateDir"].(string), "*"))
	if err != nil || len(files) == 0 {
		t.Errorf("the state: %d files, %v", len(files), err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Sys().(*syscall.Stat_t).Uid != nobody {
			t.Errorf("%s does not belong to the plugin's user (%v)", file, err)
		}
	}
}
