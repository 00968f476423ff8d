package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is the name of the machine that reports alerts.
const machine = "e2e"

// CrowdSec is a private CrowdSec: a Local API with the plugin's notification, and cscli.
type CrowdSec struct {
	*process
	release Release
	inside  system // where it is installed; nil: the binaries of the release, with a configuration of the test
	folder  string // of its logs
	dir     string // its configuration
	port    int
}

// system runs programs in a root folder of its own.
type system interface {
	command(ctx context.Context, words ...string) *exec.Cmd
}

// installCrowdSec writes a configuration and registers the machine. It starts nothing.
func installCrowdSec(t testing.TB, folder string, release Release) *CrowdSec {
	t.Helper()
	c := &CrowdSec{release: release, folder: folder, dir: filepath.Join(folder, "crowdsec"), port: freePort(t)}
	for _, dir := range []string{"data", "hub", "notifications", "plugins"} {
		if err := os.MkdirAll(filepath.Join(c.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// An orphan leaves its socket behind, so the sockets are in a folder of the test.
	if err := os.Mkdir(c.sockets(), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(c.sockets(), 0o1777); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"hub/.index.json":            "{}\n",
		"simulation.yaml":            "simulation: false\n",
		"local_api_credentials.yaml": "",
	} {
		if err := os.WriteFile(filepath.Join(c.dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	values := map[string]any{"Dir": c.dir, "Port": c.port, "MetricsPort": freePort(t), "Postgres": release.postgres}
	writeTemplate(t, "config.yaml", c.config(), 0o600, values)
	writeTemplate(t, release.profiles, filepath.Join(c.dir, "profiles.yaml"), 0o600, values)
	c.register(t)
	return c
}

// register registers the machine.
func (c *CrowdSec) register(t testing.TB) {
	t.Helper()
	c.mustCscli(t, "machines", "add", machine, "--password", machinePassword, "--force",
		"--url", c.url(), "-f", filepath.Join(c.dir, "local_api_credentials.yaml"))
}

// addBouncer adds the plugin's key.
func (c *CrowdSec) addBouncer(t testing.TB) {
	t.Helper()
	c.mustCscli(t, "bouncers", "add", "stormshield", "-k", bouncerKey)
}

func (c *CrowdSec) config() string  { return filepath.Join(c.dir, "config.yaml") }
func (c *CrowdSec) sockets() string { return filepath.Join(c.dir, "tmp") }
func (c *CrowdSec) url() string     { return fmt.Sprintf("http://127.0.0.1:%d", c.port) }

// command returns a command of the release with this configuration.
func (c *CrowdSec) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if c.inside != nil {
		return c.inside.command(ctx, append([]string{program}, args...)...)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.release.bin, program), append([]string{"-c", c.config()}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+c.sockets())
	if c.release.environment != "" {
		cmd.Env = append(cmd.Env, c.release.environment)
	}
	if c.release.lib != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+c.release.lib)
	}
	return cmd
}

// Start starts CrowdSec and waits until the machine can log in to the Local API.
func (c *CrowdSec) Start(t testing.TB) {
	t.Helper()
	c.process = start(t, c.folder, "crowdsec", c.command(t.Context(), "crowdsec", "-no-cs"))
	c.waitForAPI(t)
}

func (c *CrowdSec) waitForAPI(t testing.TB) {
	t.Helper()
	waitFor(t, 20*time.Second, "the machine can log in to the Local API", func() (bool, string) {
		c.checkRunning(t)
		_, err := c.logIn(t.Context())
		return err == nil, fmt.Sprint(err)
	})
}

// tryConfiguration runs `crowdsec -t`, which starts the plugin too.
func (c *CrowdSec) tryConfiguration(t testing.TB) {
	t.Helper()
	run(t, c.command(t.Context(), "crowdsec", "-no-cs", "-t"))
}

// Reload reloads CrowdSec as systemd does: `crowdsec -t`, then SIGHUP. It waits until CrowdSec logs that it has reloaded,
// and the Local API answers.
func (c *CrowdSec) Reload(t testing.TB) {
	t.Helper()
	const done = "Reload is finished"
	before := c.logged(done)
	c.tryConfiguration(t)
	c.signal(t, syscall.SIGHUP)
	waitFor(t, 30*time.Second, "CrowdSec has reloaded", func() (bool, string) {
		c.checkRunning(t)
		return c.logged(done) > before, "its log does not say so"
	})
	c.waitForAPI(t)
}

// Stop stops CrowdSec as systemd does.
func (c *CrowdSec) Stop(t testing.TB) {
	t.Helper()
	c.signal(t, syscall.SIGTERM)
	waitFor(t, 20*time.Second, "CrowdSec ends after SIGTERM", func() (bool, string) { return c.hasEnded(), "it runs" })
}

// Cscli runs cscli and returns all it printed.
func (c *CrowdSec) Cscli(t testing.TB, args ...string) (string, error) {
	t.Helper()
	out, err := c.command(t.Context(), "cscli", args...).CombinedOutput()
	return string(out), err
}

// mustCscli runs cscli, again if the database was busy.
func (c *CrowdSec) mustCscli(t testing.TB, args ...string) {
	t.Helper()
	for try := 1; c.busyCscli(t, args...); try++ {
		if try == 5 {
			t.Fatalf("cscli %s: the database is locked", strings.Join(args, " "))
		}
		time.Sleep(time.Second)
	}
}

// busyCscli runs cscli, and reports whether it failed because the database was busy. 1.4.6 does not wait for its database.
func (c *CrowdSec) busyCscli(t testing.TB, args ...string) bool {
	t.Helper()
	out, err := c.Cscli(t, args...)
	if err == nil {
		return false
	}
	if !strings.Contains(out, "database is locked") {
		t.Fatalf("cscli %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	t.Logf("cscli %s: the database is locked", strings.Join(args[:2], " "))
	return true
}

// Decision is a decision of `cscli decisions add`: when it was made, and when it ends for CrowdSec.
type Decision struct {
	asked, ends time.Time
}

// Ban bans an address (flag "--ip") or a network (flag "--range") with cscli.
func (c *CrowdSec) Ban(t testing.TB, flag, value string, lasts time.Duration) Decision {
	t.Helper()
	d := Decision{asked: time.Now()}
	c.mustCscli(t, "decisions", "add", flag, value, "-d", lasts.String())
	_, from := c.newestAlert(t, value)
	d.ends = from.Add(lasts)
	return d
}
