package e2e

import (
	"testing"
	"time"
)

func TestABanIsEnforcedWithinSecondsAndEndsOnTime(t *testing.T) {
	everyCombination(t, func(t *testing.T, w *World) {
		bans := map[string]Decision{}
		for _, b := range []struct{ flag, value string }{
			{"--ip", "203.0.113.77"},
			{"--range", "198.51.100.64/26"},
			{"--ip", "2001:db8:77::7"},
		} {
			d := w.CrowdSec.Ban(t, b.flag, b.value, 20*time.Second)
			w.waitUntilEnforced(t, b.value, d, enforcedWithin)
			bans[b.value] = d
		}
		w.waitUntilEnded(t, bans)
		w.waitUntilTidy(t)
	})
}

func TestTheLongestOfSeveralBansCounts(t *testing.T) {
	everyCombination(t, func(t *testing.T, w *World) {
		const warmUp, extended, kept = "203.0.113.76", "203.0.113.78", "203.0.113.79"
		short, long := 12*time.Second, 26*time.Second

		// The first flush blocks everything by the group as well, with one end for all; later ones set each ban's own.
		w.waitUntilEnforced(t, warmUp, w.CrowdSec.Ban(t, "--ip", warmUp, 5*time.Second), enforcedWithin)
		waitFor(t, 10*time.Second, "the first flush is over", func() (bool, string) {
			return w.CrowdSec.logged("msg=flushed ") > 0, "the plugin has not said so"
		})

		first := w.CrowdSec.Ban(t, "--ip", extended, short)
		keptUntil := w.CrowdSec.Ban(t, "--ip", kept, long)
		w.waitUntilEnforced(t, extended, first, enforcedWithin)
		w.waitUntilEnforced(t, kept, keptUntil, enforcedWithin)

		extendedUntil := w.CrowdSec.Ban(t, "--ip", extended, long)
		w.CrowdSec.Ban(t, "--ip", kept, 5*time.Second)
		waitFor(t, 10*time.Second, "the longer ban is on the appliance", func() (bool, string) {
			expires, blocked := w.Appliance.Blocked(t, prefix(extended))
			return blocked && expires.After(first.ends.Add(3*time.Second)), expires.String()
		})
		within(t, enforcedWithin, extended+" extended", time.Since(extendedUntil.asked))

		// Seen beyond the ends of both short bans.
		stayedBlocked := w.guardBans(t, extended, kept)
		waitFor(t, long, "the first ban's end has passed", func() (bool, string) {
			return time.Now().After(first.ends.Add(endedWithin)), first.ends.String()
		})
		stayedBlocked()
		for value, d := range map[string]Decision{extended: extendedUntil, kept: keptUntil} {
			expires, _ := w.Appliance.Blocked(t, prefix(value))
			if expires.Before(d.ends) || expires.After(d.ends.Add(endedWithin)) {
				t.Errorf("%s expires on the appliance at %s, its longest ban ends at %s", value, expires, d.ends)
			}
		}
		w.waitUntilEnded(t, map[string]Decision{extended: extendedUntil, kept: keptUntil})
		w.waitUntilTidy(t)
	})
}
