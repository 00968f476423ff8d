package e2e

import (
	"syscall"
	"testing"
	"time"
)

func TestBansOutliveACrashOfCrowdSec(t *testing.T) {
	everyCombination(t, func(t *testing.T, w *World) {
		const address, network, unwritten = "203.0.113.91", "2001:db8:91::/48", "203.0.113.92"
		lasts := 25 * time.Second
		bans := map[string]Decision{
			address: w.CrowdSec.Ban(t, "--ip", address, lasts),
			network: w.CrowdSec.Ban(t, "--range", network, lasts),
		}
		for value, d := range bans {
			w.waitUntilEnforced(t, value, d, enforcedWithin)
		}
		stayedBlocked := w.guardBans(t, address, network)

		w.banUntilRecorded(t, "--ip", unwritten, time.Hour)
		w.CrowdSec.signal(t, syscall.SIGKILL)
		within(t, 2*time.Second, "no plugin left after kill -9 of CrowdSec", w.Plugin.waitUntilGone(t))

		started := time.Now()
		w.CrowdSec.Start(t)
		w.Plugin.waitUntilActive(t)
		w.waitUntilEnforced(t, unwritten, Decision{asked: started}, 8*time.Second)
		stayedBlocked()
		w.waitUntilEnded(t, bans)
	})
}
