package e2e

import (
	"fmt"
	"testing"
	"time"
)

// logins are successful logins, or flushes by their kind.
type logins struct{ api, ssh, flushes, reasserts int }

func (env *Environment) logins(t testing.TB) logins {
	t.Helper()
	return logins{
		api: env.Appliance.Stats(t).APILoginsOK, ssh: env.SSH.logins(),
		flushes: env.CrowdSec.logged("msg=flushed "), reasserts: env.CrowdSec.logged("reasserted=true"),
	}
}

// checkOneFlush waits until one more flush is logged, and fails the test if it made a login over SSH, or several over the API. It makes
// none if it works in the session of the flush before.
func (env *Environment) checkOneFlush(t testing.TB, what string, before logins) {
	t.Helper()
	waitFor(t, 10*time.Second, "a flush is logged", func() (bool, string) { return env.logins(t).flushes > before.flushes, "it is not" })
	now := env.logins(t)
	t.Logf("MEASURED %s: logins %d over the API, %d over SSH", what, now.api-before.api, now.ssh-before.ssh)
	if now.flushes != before.flushes+1 || now.api > before.api+1 || now.ssh != before.ssh {
		t.Errorf("%s: before %+v, now %+v, want one flush with at most one login over the API", what, before, now)
	}
}

// waitUntilQuiet waits until the first flush is logged, and nothing is pending. Call it before any reload, because a reload may end the
// process before it logs its flush. Without SSH, a flush without bans connects to nothing.
func (env *Environment) waitUntilQuiet(t testing.TB) {
	t.Helper()
	waitFor(t, 10*time.Second, "the first flush has ended", func() (bool, string) {
		return !env.Plugin.usesSSH() || env.CrowdSec.logged("msg=flushed ") > 0, "it is not logged"
	})
	env.Plugin.waitUntilIdle(t)
}

// waitUntilFlushed waits until status shows a flush, and nothing is pending. Unlike the log, status also shows the flush of a process
// that a reload ended.
func (env *Environment) waitUntilFlushed(t testing.TB) {
	t.Helper()
	waitFor(t, 10*time.Second, "the first flush has ended", func() (bool, string) {
		var status struct {
			LastFlush *time.Time `json:"last_flush"`
		}
		out, err := env.Plugin.readStatus(t, &status)
		return err == nil && status.LastFlush != nil, out
	})
	env.Plugin.waitUntilIdle(t)
}

func TestASmallBanCostsOneLoginOverTheAPIAndNoneOverSSH(t *testing.T) {
	t.Parallel() // it mostly waits
	forEachAccess(t, func(t *testing.T, env *Environment) {
		const banned = "203.0.113.60"
		env.waitUntilQuiet(t)

		before := env.logins(t)
		d := env.CrowdSec.Ban(t, "--ip", banned, 10*time.Second)
		env.waitUntilEnforced(t, banned, d, enforcedWithin)
		env.checkOneFlush(t, "a ban", before)

		before = env.logins(t)
		env.waitUntilEnded(t, map[string]Decision{banned: d})
		env.checkOneFlush(t, "its end", before)
		for file, text := range env.Appliance.Files(t) {
			if before, known := env.before[file]; !known || file == "object" && text != before {
				t.Errorf("a ban and its end changed %s:\n%s", file, differences(before, text))
			}
		}
	})
}

// A reboot empties the blacklist, and the files do not name the ban yet.
func TestARecentBanIsBlockedAgainAfterAReboot(t *testing.T) {
	t.Parallel() // it mostly waits
	forEachAccess(t, func(t *testing.T, env *Environment) {
		const banned, every = "203.0.113.61", 20 * time.Second
		env.waitUntilQuiet(t)
		env.setReassertEvery(t, every)
		env.Plugin.waitUntilIdle(t)

		before := env.logins(t)
		env.waitUntilEnforced(t, banned, env.CrowdSec.Ban(t, "--ip", banned, time.Hour), enforcedWithin)
		env.checkOneFlush(t, "a ban", before)
		if env.filesName(t, banned) {
			t.Errorf("the files name %s after a small flush", banned)
		}
		env.Appliance.reboot(t)
		if _, blocked := env.Appliance.Blocked(t, prefix(banned)); blocked {
			t.Fatal("the reboot did not empty the blacklist")
		}
		env.waitUntilEnforced(t, banned, Decision{asked: time.Now()}, every+enforcedWithin)
		waitFor(t, 5*time.Second, "one re-assert is logged", func() (bool, string) {
			reasserts := env.logins(t).reasserts - before.reasserts
			return reasserts == 1, fmt.Sprint(reasserts)
		})
		waitFor(t, 5*time.Second, "the files name the ban, with SSH", func() (bool, string) {
			return env.filesName(t, banned) == env.Plugin.usesSSH(), "they do not, or they do without SSH"
		})
	})
}

// setReassertEvery reloads the plugin with another reassert_every.
func (env *Environment) setReassertEvery(t testing.TB, every time.Duration) {
	t.Helper()
	env.Plugin.values["ReassertEvery"] = every
	env.Plugin.configure(t)
	env.CrowdSec.Reload(t)
	env.Plugin.waitUntilActive(t)
}
