package e2e

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// notification is the name of the plugin's configuration in profiles.
const notification = "stormshield_default"

// Plugin is the plugin as an administrator installs it: the binary, its configuration and its state.
type Plugin struct {
	binary, config string
	values         map[string]any // of the configuration's template
	// inside returns a command of the plugin in a container; nil: the plugin runs on this machine.
	inside func(ctx context.Context, args ...string) *exec.Cmd
}

// builtPlugin returns the path of the tested binary: E2E_PLUGIN, or the binary of `make build`.
func builtPlugin() string {
	return cmp.Or(os.Getenv("E2E_PLUGIN"), filepath.Join("..", "bin", "notification-stormshield"))
}

// installPlugin copies the binary into CrowdSec's plugin folder, with the owner and mode of a package, and makes a state
// folder for the plugin's user.
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
		"ConfigDir": a.configDir, "APIPort": a.port, "APIUser": user, "APIPassword": password, "APIFingerprint": a.fingerprint,
		"LAPIURL": "", "LAPIKey": "", "LAPIResync": 24 * time.Hour, // alerts alone
		"MaxBans": 0, "ReassertEvery": 10 * time.Minute, // the defaults
		"Enforce": "blacklist", "Rule": map[string]any{}, // keys and values of the section rule
		"PrometheusPort": 0,                                           // not enabled
		"StateURL":       "", "StatePassword": "", "StateMachine": "", // a state of its own
	}
	p.configure(t)
	t.Cleanup(func() { killAll(p.binary) })
	return p
}

// CrowdSec runs plugins as this user and group, in every distribution that its deb supports.
const nobody, nogroup = 65534, 65534

// usesSSH reports whether the configuration has credentials for SSH.
func (p *Plugin) usesSSH() bool { return p.values["SSHPassword"] != "" }

// setSSH writes a configuration with or without credentials for SSH.
func (p *Plugin) setSSH(t testing.TB, with bool) {
	t.Helper()
	p.values["SSHPassword"] = ""
	if with {
		p.values["SSHPassword"] = password
	}
	p.configure(t)
}

// configure writes the configuration.
func (p *Plugin) configure(t testing.TB) {
	t.Helper()
	writeTemplate(t, "stormshield.yaml", p.config, 0o600, p.values)
}

// Command runs a command of the plugin and returns its output.
func (p *Plugin) Command(t testing.TB, args ...string) (string, error) {
	out, err := p.command(t.Context(), args...).CombinedOutput()
	return string(out), err
}

// command returns a command of the plugin. In a container it finds its configuration without help.
func (p *Plugin) command(ctx context.Context, args ...string) *exec.Cmd {
	if p.inside != nil {
		return p.inside(ctx, args...)
	}
	return exec.CommandContext(ctx, p.binary, append(args, "-c", p.config)...)
}

// Processes returns the processes that run the installed binary.
func (p *Plugin) Processes() []int { return processesOf(p.binary) }

// waitUntilActive waits until one process of the plugin is old enough to flush. CrowdSec also starts processes that live
// for a moment, so a younger process does not flush.
func (p *Plugin) waitUntilActive(t testing.TB) {
	t.Helper()
	waitFor(t, 10*time.Second, "one process of the plugin has run for 3 s", func() (bool, string) {
		pids := p.Processes()
		return len(pids) == 1 && age(pids[0]) > 3*time.Second, fmt.Sprintf("processes %v", pids)
	})
}

// waitUntilGone waits until the plugin has no process, and returns how long that took.
func (p *Plugin) waitUntilGone(t testing.TB) time.Duration {
	t.Helper()
	return waitFor(t, 10*time.Second, "no process of the plugin is left", func() (bool, string) {
		pids := p.Processes()
		return len(pids) == 0, fmt.Sprintf("processes %v", pids)
	})
}
