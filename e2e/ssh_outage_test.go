package e2e

import (
	"regexp"
	"testing"
	"time"
)

// While sshd is away, only what needs the files waits.
func TestLoneBansAreBlockedWhileSSHIsDown(t *testing.T) {
	t.Parallel() // it mostly waits
	forEach(t, []Release{current}, []Access{overSSH}, func(t *testing.T, env *Environment) {
		const before, short, network, every = "203.0.113.65", "203.0.113.69", "198.51.100.128/26", 20 * time.Second
		env.setReassertEvery(t, every)
		env.waitUntilEnforced(t, before, env.CrowdSec.Ban(t, "--ip", before, time.Hour), enforcedWithin)
		stayedBlocked := env.guardBans(t, before)

		env.SSH.kill()
		env.banAndWaitUntilRecorded(t, "--range", network, time.Hour)
		during := []string{"203.0.113.66", "203.0.113.67", "203.0.113.68"}
		for _, value := range during {
			env.waitUntilEnforced(t, value, env.CrowdSec.Ban(t, "--ip", value, time.Hour), enforcedWithin)
		}
		d := env.CrowdSec.Ban(t, "--ip", short, 8*time.Second)
		env.waitUntilEnforced(t, short, d, enforcedWithin)
		env.waitUntilEnded(t, map[string]Decision{short: d})
		env.checkStatusNamesTheFiles(t)
		if _, blocked := env.Appliance.Blocked(t, prefix(network)); blocked {
			t.Errorf("%s is blocked without the files", network)
		}
		stayedBlocked()

		env.Appliance.reboot(t)
		rebooted := Decision{asked: time.Now()}
		for _, value := range append(during, before) {
			env.waitUntilEnforced(t, value, rebooted, every+enforcedWithin)
		}

		env.SSH.Start(t)
		env.waitUntilEnforced(t, network, Decision{asked: time.Now()}, 90*time.Second)
		waitFor(t, 5*time.Second, "the files name the bans", func() (bool, string) {
			for _, value := range append(during, before) {
				if !env.filesName(t, value) {
					return false, value + " is not named"
				}
			}
			return true, ""
		})
		env.Plugin.waitUntilIdle(t)
		env.checkCommandPrints(t, "status", ": working")
	})
}

// checkStatusNamesTheFiles fails the test if `status` does not say that a range waits for the files, and why they cannot be written.
func (env *Environment) checkStatusNamesTheFiles(t testing.TB) {
	t.Helper()
	out, err := env.Plugin.Command(t, "status")
	t.Logf("status during the outage:\n%s", out)
	if err == nil {
		t.Error("status says that the plugin works, while a range waits")
	}
	for _, want := range []string{
		`NOT WORKING: the appliance's files cannot be written over SSH for .*, and 1 range wait`,
		`pending +1 to block`, `files .*addresses are blocked over the API alone`, `last error .*connection refused`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("status does not say %q", want)
		}
	}
}
