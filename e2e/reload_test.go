package e2e

import (
	"fmt"
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
