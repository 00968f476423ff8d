package e2e

import (
	"testing"
	"time"
)

func TestALiveBanIsEnforcedThoughAnImportFillsMaxBans(t *testing.T) {
	every(t, []Release{current}, shells[:1], func(t *testing.T, w *World) {
		const limit, live = 100, "203.0.113.77"
		w.Plugin.values["MaxBans"] = limit
		w.follow(t)
		file, _ := bansToImport(t, 2*limit)
		w.CrowdSec.mustCscli(t, "decisions", "import", "-i", file)
		w.waitUntilBlocks(t, limit, time.Minute)
		w.Plugin.waitUntilIdle(t)
		imported := w.Appliance.Blacklist(t)
		time.Sleep(readEvery) // the last flush is an update_frequency ago

		d := w.banUntilRecorded(t, "--ip", live, 20*time.Second)
		recorded := time.Now()
		w.waitUntilEnforced(t, live, d, enforcedWithin)
		t.Logf("MEASURED from recorded to blocked, with a debounce of 1s: %s", time.Since(recorded).Round(10*time.Millisecond))
		w.says(t, "status", "101 imports")

		w.waitUntilEnded(t, map[string]Decision{live: d})
		w.waitUntilBlocks(t, limit, time.Minute)
		for p := range w.Appliance.Blacklist(t) {
			if _, before := imported[p]; !before {
				t.Errorf("%s is blocked, and was not before", p)
			}
		}
		if n := w.CrowdSec.logged(fullRead + "200"); n > 1 {
			t.Errorf("the Local API was read whole %d times", n)
		}
	})
}
