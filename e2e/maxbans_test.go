package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Local detections come first, then imports, then the community blocklist.
func TestALiveBanIsBlockedAfterAnImportFilledMaxBans(t *testing.T) {
	forEachAccess(t, func(t *testing.T, env *Environment) {
		const live = "203.0.113.77"
		limit := 2000 // the default without credentials for SSH
		if env.Plugin.usesSSH() {
			limit = 100
			env.Plugin.values["MaxBans"] = limit
		}
		env.follow(t)
		community := decisionsOn(0, limit, 0)
		for i := range community {
			community[i].Origin = "CAPI"
		}
		env.CrowdSec.Report(t, community)
		env.waitUntilBlocks(t, limit, time.Minute)
		env.importBans(t, limit)
		env.waitUntilStatusSays(t, fmt.Sprintf("%d lists, because of max_bans", limit))
		env.Plugin.waitUntilIdle(t)
		imported := env.Appliance.Blacklist(t)
		time.Sleep(readEvery) // let update_frequency pass after the last flush

		d := env.banAndWaitUntilRecorded(t, "--ip", live, 20*time.Second)
		recorded := time.Now()
		env.waitUntilEnforced(t, live, d, enforcedWithin)
		t.Logf("MEASURED from recorded to blocked, with a debounce of 1s: %s", time.Since(recorded).Round(10*time.Millisecond))
		env.checkCommandPrints(t, "status", fmt.Sprintf("1 imports, %d lists, because of max_bans", limit))

		env.waitUntilEnded(t, map[string]Decision{live: d})
		env.waitUntilBlocks(t, limit, time.Minute)
		for p := range env.Appliance.Blacklist(t) {
			if _, before := imported[p]; !before {
				t.Errorf("%s is blocked, and was not before", p)
			}
		}
		if n := env.CrowdSec.logged(fullRead + "200"); n > 1 {
			t.Errorf("there were %d full reads", n)
		}
	})
}

// waitUntilStatusSays waits until the plugin works, and `status` prints a text.
func (env *Environment) waitUntilStatusSays(t testing.TB, text string) {
	t.Helper()
	waitFor(t, time.Minute, "status says "+text, func() (bool, string) {
		out, err := env.Plugin.Command(t, "status")
		return err == nil && strings.Contains(out, text), out
	})
}
