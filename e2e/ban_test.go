package e2e

import (
	"testing"
	"time"
)

func TestABanIsEnforcedWithinSecondsAndEndsOnTime(t *testing.T) {
	forEachCombination(t, func(t *testing.T, env *Environment) {
		bans := map[string]Decision{}
		for _, b := range []struct{ flag, value string }{
			{"--ip", "203.0.113.77"},
			{"--range", "198.51.100.64/26"},
			{"--ip", "2001:db8:77::7"},
		} {
			if b.flag == "--range" && !env.Plugin.usesSSH() {
				env.checkRangeIsRefused(t, b.value)
				continue
			}
			d := env.CrowdSec.Ban(t, b.flag, b.value, 20*time.Second)
			env.waitUntilEnforced(t, b.value, d, limitFor(b.value))
			bans[b.value] = d
		}
		env.waitUntilEnded(t, bans)
		env.waitUntilFilesAreClean(t)
	})
}

func TestTheLongestOfSeveralBansCounts(t *testing.T) {
	forEachCombination(t, func(t *testing.T, env *Environment) {
		const warmUp, extended, kept = "203.0.113.76", "203.0.113.78", "203.0.113.79"
		short, long := 12*time.Second, 26*time.Second

		// The first flush also blocks by the group, with one end for all entries. Later flushes set an end for each ban.
		env.waitUntilEnforced(t, warmUp, env.CrowdSec.Ban(t, "--ip", warmUp, 5*time.Second), enforcedWithin)
		waitFor(t, 10*time.Second, "the first flush has ended", func() (bool, string) {
			return env.CrowdSec.logged("msg=flushed ") > 0, "its log does not say so"
		})

		first := env.CrowdSec.Ban(t, "--ip", extended, short)
		keptUntil := env.CrowdSec.Ban(t, "--ip", kept, long)
		env.waitUntilEnforced(t, extended, first, enforcedWithin)
		env.waitUntilEnforced(t, kept, keptUntil, enforcedWithin)

		extendedUntil := env.CrowdSec.Ban(t, "--ip", extended, long)
		env.CrowdSec.Ban(t, "--ip", kept, 5*time.Second)
		waitFor(t, 10*time.Second, "the longer ban is on the appliance", func() (bool, string) {
			expires, blocked := env.Appliance.Blocked(t, prefix(extended))
			return blocked && expires.After(first.ends.Add(3*time.Second)), expires.String()
		})
		checkWithin(t, enforcedWithin, extended+" extended", time.Since(extendedUntil.asked))

		// Watch until both short bans have ended.
		stayedBlocked := env.guardBans(t, extended, kept)
		waitFor(t, long, "the first ban's end has passed", func() (bool, string) {
			return time.Now().After(first.ends.Add(endedWithin)), first.ends.String()
		})
		stayedBlocked()
		for value, d := range map[string]Decision{extended: extendedUntil, kept: keptUntil} {
			expires, _ := env.Appliance.Blocked(t, prefix(value))
			if expires.Before(d.ends) || expires.After(d.ends.Add(endedWithin)) {
				t.Errorf("%s expires on the appliance at %s, its longest ban ends at %s", value, expires, d.ends)
			}
		}
		env.waitUntilEnded(t, map[string]Decision{extended: extendedUntil, kept: keptUntil})
		env.waitUntilFilesAreClean(t)
	})
}
