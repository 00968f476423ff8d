package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Environment is an appliance, a CrowdSec and a plugin.
type Environment struct {
	Appliance *Appliance
	SSH       *sshd
	CrowdSec  *CrowdSec
	Plugin    *Plugin

	before map[string]string // the appliance's files, before the plugin
	policy string            // its filter policies, before the plugin
}

// newEnvironment starts all programs and waits until the plugin is ready to flush. The test stops them at its end. The steps to prepare
// come before the start of CrowdSec.
func newEnvironment(t *testing.T, c Combination, prepare ...func(*Environment)) *Environment {
	t.Helper()
	folder := temporaryFolder(t)
	env := newApplianceEnvironment(t, folder, c.Access.LoginShell)
	env.CrowdSec = installCrowdSec(t, folder, c.CrowdSec)
	env.Plugin = installPlugin(t, folder, env.CrowdSec, env.Appliance, env.SSH)
	if c.Access.WithoutSSH {
		env.Plugin.setSSH(t, false)
	}
	for _, step := range prepare {
		step(env)
	}
	env.CrowdSec.Start(t)
	env.Plugin.waitUntilActive(t)
	return env
}

// temporaryFolder makes a folder for a test. Its path is short, because sockets are in it. Others can read it, because the
// plugin and the SSH user are not root.
func temporaryFolder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// newApplianceEnvironment makes an environment that has only an appliance.
func newApplianceEnvironment(t testing.TB, folder, loginShell string) *Environment {
	t.Helper()
	env := &Environment{}
	disk := filepath.Join(folder, "appliance")
	env.Appliance = startAppliance(t, folder, disk)
	env.SSH = startSSHD(t, folder, disk, loginShell, env.Appliance.toolDir)
	env.before, env.policy = env.Appliance.Files(t), env.Appliance.Policy(t)
	return env
}

// checkCleanup stops CrowdSec and runs `cleanup`. It fails the test if the files were ever broken, if an administrator
// lost a right, or if the appliance is not as it was before the plugin.
func (env *Environment) checkCleanup(t *testing.T) {
	t.Helper()
	env.CrowdSec.Stop(t)
	env.Plugin.waitUntilGone(t)
	if problems := env.Appliance.Problems(t); len(problems) > 0 {
		t.Errorf("the appliance finds faults in its files: %q", problems)
	}
	// A process that ends gives up its executable a moment before its lock.
	waitFor(t, 10*time.Second, "no process has the plugin's lock", func() (bool, string) {
		out, _ := env.Plugin.Command(t, "status", "--json") // it fails, because no process runs
		return strings.Contains(out, `"process": null`), out
	})
	if out, err := env.Plugin.Command(t, "cleanup"); err != nil {
		t.Errorf("cleanup: %v\n%s", err, out)
	}
	// An edit that was cut may still run on the appliance. It removes its folder at its end.
	waitFor(t, 10*time.Second, "the appliance has no other files than before the plugin", func() (bool, string) {
		after := env.Appliance.Files(t)
		return len(after) <= len(env.before), fmt.Sprint(slices.Sorted(maps.Keys(after)))
	})
	for file, before := range env.before {
		if after := env.Appliance.Files(t)[file]; after != before {
			t.Errorf("%s is not as it was before the plugin:\n%s", file, differences(before, after))
		}
	}
	if after := env.Appliance.Policy(t); after != env.policy {
		t.Errorf("the filter policies are not as before the plugin:\n%s\nbefore:\n%s", after, env.policy)
	}
	if list := env.Appliance.Blacklist(t); len(list) > 0 {
		t.Errorf("%d entries are left on the blacklist, such as %v", len(list), slices.Collect(maps.Keys(list))[0])
	}
	if problems := env.Appliance.Problems(t); len(problems) > 0 {
		t.Errorf("the appliance finds faults in its files after cleanup: %q", problems)
	}
	if stats := env.Appliance.Stats(t); stats.Evictions > 0 {
		t.Errorf("%d times an administrator lost the right to modify", stats.Evictions)
	}
}

// differences returns the first lines that differ.
func differences(before, after string) string {
	old, now := strings.SplitAfter(before, "\n"), strings.SplitAfter(after, "\n")
	for len(old) > 0 && len(now) > 0 && old[0] == now[0] {
		old, now = old[1:], now[1:]
	}
	few := func(lines []string) []string { return lines[:min(10, len(lines))] }
	return fmt.Sprintf("from the first that differs, %d lines before: %q\n%d lines after: %q", len(old), few(old), len(now), few(now))
}
