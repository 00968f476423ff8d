package e2e

import (
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestBansStayAfterACrashOfCrowdSec(t *testing.T) {
	forEachCombination(t, func(t *testing.T, env *Environment) {
		const address, network, unwritten = "203.0.113.91", "2001:db8:91::/48", "203.0.113.92"
		lasts := 25 * time.Second
		bans := map[string]Decision{address: env.CrowdSec.Ban(t, "--ip", address, lasts)}
		if env.Plugin.usesSSH() {
			bans[network] = env.CrowdSec.Ban(t, "--range", network, lasts)
		}
		for value, d := range bans {
			env.waitUntilEnforced(t, value, d, limitFor(value))
		}
		stayedBlocked := env.guardBans(t, slices.Collect(maps.Keys(bans))...)

		env.banAndWaitUntilRecorded(t, "--ip", unwritten, time.Hour)
		env.CrowdSec.signal(t, syscall.SIGKILL)
		checkWithin(t, 2*time.Second, "no plugin left after kill -9 of CrowdSec", env.Plugin.waitUntilGone(t))

		started := time.Now()
		env.CrowdSec.Start(t)
		env.Plugin.waitUntilActive(t)
		env.waitUntilEnforced(t, unwritten, Decision{asked: started}, 8*time.Second)
		stayedBlocked()
		env.waitUntilEnded(t, bans)
	})
}
