package e2e

import (
	"fmt"
	"testing"
	"time"
)

// The plugin keeps each address blocked while a reload takes its credentials for SSH away, and while another one gives them back.
func TestAReloadThatRemovesOrAddsSSHLeavesNoMomentUnblocked(t *testing.T) {
	t.Parallel() // it mostly waits
	forEach(t, []Release{current}, []Access{overSSH}, func(t *testing.T, env *Environment) {
		const single, network, between, ended = "203.0.113.62", "198.51.100.0/26", "203.0.113.63", "203.0.113.64"
		env.follow(t)
		imported := env.importBans(t, 60) // more than api_single_max: the group blocks them
		env.waitUntilBlocks(t, len(imported), 30*time.Second)
		env.waitUntilEnforced(t, network, env.CrowdSec.Ban(t, "--range", network, time.Hour), limitFor(network))
		for _, value := range []string{single, ended} { // the files do not name these
			env.waitUntilEnforced(t, value, env.CrowdSec.Ban(t, "--ip", value, time.Hour), enforcedWithin)
		}
		stayedBlocked := env.guardBans(t, append(imported, single)...)

		env.changeSSH(t, false, "has no credentials for SSH any more")
		ssh := env.SSH.logged("Connection from")
		t.Logf("MEASURED the range is unblocked after %s", env.waitUntilUnblocked(t, network).Round(time.Millisecond))
		env.checkCommandPrints(t, "status", "over the API alone")
		env.waitUntilEnforced(t, between, env.CrowdSec.Ban(t, "--ip", between, time.Hour), enforcedWithin)
		env.CrowdSec.mustCscli(t, "decisions", "delete", "-i", ended)
		env.waitUntilUnblocked(t, ended)
		if now := env.SSH.logged("Connection from"); now != ssh {
			t.Errorf("%d connections over SSH without credentials for it", now-ssh)
		}

		env.changeSSH(t, true, "has credentials for SSH now")
		env.waitUntilBlocks(t, len(imported)+3, 30*time.Second) // and the range, which the Local API lists
		stayedBlocked()
		waitFor(t, 10*time.Second, "the files name the bans", func() (bool, string) {
			return env.filesName(t, single) && env.filesName(t, between) && !env.filesName(t, ended), "they do not"
		})
		env.endAllBans(t, 30*time.Second)
	})
}

// changeSSH reloads the plugin with or without credentials for SSH, and waits until it has logged the change and nothing is pending.
func (env *Environment) changeSSH(t *testing.T, ssh bool, logs string) {
	t.Helper()
	env.Plugin.setSSH(t, ssh)
	env.CrowdSec.Reload(t)
	env.Plugin.waitUntilActive(t)
	waitFor(t, 10*time.Second, "the plugin has noticed the change of its credentials", func() (bool, string) {
		return env.CrowdSec.logged(logs) > 0, fmt.Sprintf("it does not log %q", logs)
	})
	env.Plugin.waitUntilIdle(t)
}
