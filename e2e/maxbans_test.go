package e2e

import (
	"testing"
	"time"
)

func TestALiveBanIsBlockedAfterAnImportFilledMaxBans(t *testing.T) {
	forEach(t, []Release{current}, shells[:1], func(t *testing.T, env *Environment) {
		const limit, live = 100, "203.0.113.77"
		env.Plugin.values["MaxBans"] = limit
		env.follow(t)
		env.importBans(t, 2*limit)
		env.waitUntilBlocks(t, limit, time.Minute)
		env.Plugin.waitUntilIdle(t)
		imported := env.Appliance.Blacklist(t)
		time.Sleep(readEvery) // let update_frequency pass after the last flush

		d := env.banAndWaitUntilRecorded(t, "--ip", live, 20*time.Second)
		recorded := time.Now()
		env.waitUntilEnforced(t, live, d, enforcedWithin)
		t.Logf("MEASURED from recorded to blocked, with a debounce of 1s: %s", time.Since(recorded).Round(10*time.Millisecond))
		env.checkCommandPrints(t, "status", "101 imports")

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
