package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// containers is an environment whose CrowdSec and plugin run in the containers of compose.yaml.
type containers struct {
	*Environment
	project *project
	image   image      // of the plugin
	running *container // of CrowdSec
	folder  string
	began   time.Time // when the plugin in the running container was ready
}

// newContainers starts an appliance, and writes the files of compose.yaml's folder for it. It starts no container.
func newContainers(t testing.TB) *containers {
	t.Helper()
	c := &containers{project: newProject(t), image: unpackImages(t)["amd64"], folder: temporaryFolder(t)}
	c.Environment = newApplianceEnvironment(t, c.folder, overSSH.LoginShell)
	c.CrowdSec = &CrowdSec{release: current, folder: c.folder, port: freePort(t)}
	c.project.write(t, "profiles.yaml", string(containerFile(t, "profiles.yaml")))
	c.configure(t, c.SSH.hostKey, c.Appliance.fingerprint)
	for secret, text := range map[string]string{"ssh_password": password, "api_password": password, "bouncer_key_stormshield": bouncerKey} {
		c.project.write(t, c.project.Secrets[secret].File, text+"\n")
	}
	return c
}

// configure writes stormshield.yaml for this appliance.
func (c *containers) configure(t testing.TB, hostKey, fingerprint string) {
	t.Helper()
	address := fmt.Sprintf("  host: 127.0.0.1\n  ssh_port: %d\n  api_port: %d\n  config_dir: %s\n", c.SSH.port, c.Appliance.port, c.Appliance.configDir)
	c.project.write(t, "stormshield.yaml", replaceEach(t, string(containerFile(t, "stormshield.yaml")),
		"type: stormshield\n", "type: stormshield\nlog_level: debug\nupdate_frequency: 2s\n",
		"http://127.0.0.1:8080\n", c.CrowdSec.url()+"\n",
		"  host: 192.0.2.1\n", address,
		"ssh_host_key: ''", "ssh_host_key: '"+hostKey+"'",
		"api_cert_fingerprint: ''", "api_cert_fingerprint: '"+fingerprint+"'",
	))
}

// replaceEach replaces texts, each of which must occur once. The pairs are a text, and what replaces it.
func replaceEach(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if times := strings.Count(text, pairs[i]); times != 1 {
			t.Fatalf("%q occurs %d times, want once, in:\n%s", pairs[i], times, text)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// install runs the plugin's image in a container, which ends, and returns its output.
func (c *containers) install(t testing.TB) string {
	t.Helper()
	return run(t, c.installer(t, c.project.Services["stormshield"].Command...))
}

// installer returns a command that runs the plugin's image in a new container with other words than those of compose.yaml.
func (c *containers) installer(t testing.TB, words ...string) *exec.Cmd {
	t.Helper()
	root := filepath.Join(temporaryFolder(t), "root")
	run(t, exec.CommandContext(t.Context(), "cp", "-a", c.image.root, root))
	return c.project.newContainer(t, "stormshield", root).run(t.Context(), slices.Concat(c.image.Config.Config.Entrypoint, words)...)
}

// newCrowdSecRoot makes the root folder of CrowdSec's image for Debian, as far as its start script needs it without an agent.
func newCrowdSecRoot(t testing.TB, c *CrowdSec) *debian {
	t.Helper()
	d := newDebian(t, bareDebian)
	module := strings.TrimSpace(run(t, exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/crowdsecurity/crowdsec")))
	for file, into := range map[string]string{
		filepath.Join(c.release.bin, "crowdsec"):                    "/usr/local/bin",
		filepath.Join(c.release.bin, "cscli"):                       "/usr/local/bin",
		cached("yq"):                                                "/usr/local/bin",
		filepath.Join(module, "build", "docker", "docker_start.sh"): "/",
	} {
		run(t, exec.CommandContext(t.Context(), "cp", file, d.path(into)))
	}
	// docker_start.sh runs: rsync -av --ignore-existing FILE... FOLDER
	d.write(t, "/usr/local/bin/rsync", 0o755, "#!/bin/sh\nshift 2\nexec cp -rn \"$@\"\n")
	config, err := os.ReadFile(filepath.Join(module, "build", "docker", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "/staging/etc/crowdsec/config.yaml", 0o644, replaceEach(t, string(config),
		"  group: nobody\n", "  group: nogroup\n", // as in CrowdSec's image for Debian
		"0.0.0.0:8080", strings.TrimPrefix(c.url(), "http://"),
		"listen_addr: 0.0.0.0\n  listen_port: 6060", fmt.Sprintf("listen_addr: 127.0.0.1\n  listen_port: %d", freePort(t))))
	for file, text := range map[string]string{
		"etc/crowdsec/local_api_credentials.yaml":  "url: http://0.0.0.0:8080\n",
		"etc/crowdsec/simulation.yaml":             "simulation: false\n",
		"etc/crowdsec/hub/.index.json":             "{}\n",
		"var/lib/crowdsec/data/GeoLite2-City.mmdb": "", // the script needs one file here
	} {
		d.write(t, "/staging/"+file, 0o600, text)
	}
	return d
}

// crowdSecVariables are variables of docker_start.sh. With them it starts a Local API alone, and adds the machine of the tests.
func crowdSecVariables(c *CrowdSec) []string {
	return []string{
		"DISABLE_AGENT=true", "DISABLE_ONLINE_API=true", "LOCAL_API_URL=" + c.url(),
		"AGENT_USERNAME=" + machine, "AGENT_PASSWORD=" + machinePassword,
	}
}

// up makes new containers as compose.yaml says, and waits until the plugin has read the Local API.
func (c *containers) up(t testing.TB) {
	t.Helper()
	c.install(t)
	root := newCrowdSecRoot(t, c.CrowdSec)
	c.running = c.project.newContainer(t, "crowdsec", root.root)
	c.running.environment = append(c.running.environment, crowdSecVariables(c.CrowdSec)...)
	c.running.start(t, c.folder, "crowdsec", "/bin/bash", "/docker_start.sh") // the entry point of CrowdSec's image
	c.CrowdSec.inside, c.CrowdSec.process = c.running, c.running.process
	c.Plugin = &Plugin{
		binary: root.path(c.running.pluginPath()),
		inside: func(ctx context.Context, args ...string) *exec.Cmd {
			if c.running.hasEnded() {
				return c.installer(t, args...)
			}
			return c.running.command(ctx, append([]string{c.running.pluginPath()}, args...)...)
		},
		values: map[string]any{"SSHPassword": password, "LAPIKey": bouncerKey, "StateDir": c.project.volume("state")},
	}
	c.CrowdSec.waitForAPI(t)
	c.Plugin.waitUntilActive(t)
	waitFor(t, 10*time.Second, "the plugin reads the Local API", func() (bool, string) {
		l := c.Plugin.localAPI(t)
		return l.LastRead != nil, l.Error
	})
	c.began = time.Now()
}

// pluginPath returns the path of the plugin in a container of CrowdSec.
func (c *container) pluginPath() string {
	return filepath.Join(c.service.Environment["PLUGIN_DIR"], "notification-stormshield")
}

// down stops CrowdSec as an engine does, and deletes its root folder and these volumes.
func (c *containers) down(t testing.TB, volumes ...string) {
	t.Helper()
	const patience = 10 * time.Second // an engine kills process 1 after this time
	asked := time.Now()
	c.CrowdSec.Stop(t)
	checkWithin(t, patience, "process 1 ends after SIGTERM", time.Since(asked))
	c.Plugin.waitUntilGone(t)
	if err := os.RemoveAll(c.running.root); err != nil {
		t.Fatal(err)
	}
	for _, name := range volumes {
		c.project.newVolume(t, name)
	}
}
