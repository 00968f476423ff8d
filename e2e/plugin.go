package e2e

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// notification is the name of our configuration, as profiles list it.
const notification = "stormshield_default"

// Plugin is the plugin as an administrator installs it: the binary, its configuration and its state.
type Plugin struct {
	binary, config string
	values         map[string]any // of the configuration's template
}

// builtPlugin is the binary to try: what `make build` made, or what E2E_PLUGIN names.
func builtPlugin() string {
	return cmp.Or(os.Getenv("E2E_PLUGIN"), filepath.Join("..", "bin", "notification-stormshield"))
}

// installPlugin puts the built binary into CrowdSec's plugin folder, with the owner and mode a package gives it, and
// makes a state folder that belongs to the user plugins run as.
func installPlugin(t testing.TB, folder string, c *CrowdSec, a *Appliance, s *sshd) *Plugin {
	t.Helper()
	program, err := os.ReadFile(builtPlugin())
	if err != nil {
		t.Fatal(err)
	}
	p := &Plugin{
		binary: filepath.Join(c.dir, "plugins", "notification-stormshield"),
		config: filepath.Join(c.dir, "notifications", "stormshield.yaml"),
	}
	if err := os.WriteFile(p.binary, program, 0o551); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(folder, "state")
	if err := os.Mkdir(state, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(state, nobody, nogroup); err != nil {
		t.Fatal(err)
	}
	p.values = map[string]any{
		"StateDir": state, "User": user,
		"SSHPort": s.port, "SSHPassword": password, "SSHHostKey": s.hostKey,
		"ConfigDir": a.configDir, "APIPort": a.port, "APIPassword": password, "APIFingerprint": a.fingerprint,
		"LAPIURL": "", "LAPIKey": "", "LAPIResync": 24 * time.Hour, // alerts alone
		"MaxBans": 0, // the default
	}
	p.configure(t)
	t.Cleanup(func() { killAll(p.binary) })
	return p
}

// The user and group plugins run as, in every distribution CrowdSec's deb knows.
const nobody, nogroup = 65534, 65534

// configure writes the configuration.
func (p *Plugin) configure(t testing.TB) {
	t.Helper()
	fill(t, "stormshield.yaml", p.config, 0o600, p.values)
}

// Command runs one of the plugin's own commands and returns what it printed.
func (p *Plugin) Command(t testing.TB, args ...string) (string, error) {
	out, err := exec.CommandContext(t.Context(), p.binary, append(args, "-c", p.config)...).CombinedOutput()
	return string(out), err
}

// Processes are those that run the installed binary now.
func (p *Plugin) Processes() []int { return processesOf(p.binary) }

// waitUntilActive waits until one process of the plugin is old enough to act: younger ones leave that to others, for
// CrowdSec also starts processes that live for a moment (design, rule 3).
func (p *Plugin) waitUntilActive(t testing.TB) {
	t.Helper()
	waitFor(t, 10*time.Second, "one process of the plugin has run for 3 s", func() (bool, string) {
		pids := p.Processes()
		return len(pids) == 1 && age(pids[0]) > 3*time.Second, fmt.Sprintf("processes %v", pids)
	})
}

// waitUntilGone returns how long it took until no process of the plugin was left.
func (p *Plugin) waitUntilGone(t testing.TB) time.Duration {
	t.Helper()
	return waitFor(t, 10*time.Second, "no process of the plugin is left", func() (bool, string) {
		pids := p.Processes()
		return len(pids) == 0, fmt.Sprintf("processes %v", pids)
	})
}
