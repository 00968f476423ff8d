package e2e

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	notificationFile = "/etc/crowdsec/notifications/stormshield.yaml"
	sampleFile       = notificationFile + ".sample"
	profilesFile     = "/etc/crowdsec/profiles.yaml"
	stateFolder      = "/var/lib/crowdsec-stormshield"
	debPlugin        = "/usr/lib/crowdsec/plugins/notification-stormshield"
	ownFolder        = "/usr/lib/crowdsec-stormshield/plugins"
)

// debFiles are the files of the deb, without some documents.
var debFiles = []string{
	"-r-xr-x--x 0:0 " + debPlugin,
	"Lrwxrwxrwx 0:0 /usr/bin/crowdsec-stormshield -> ../lib/crowdsec/plugins/notification-stormshield",
	"drwxr-xr-x 0:0 " + ownFolder,
	"Lrwxrwxrwx 0:0 " + ownFolder + "/notification-stormshield -> ../../crowdsec/plugins/notification-stormshield",
	"-rw------- 0:0 " + sampleFile,
	"-rw-r--r-- 0:0 /usr/share/man/man8/crowdsec-stormshield.8.gz",
	"-rw-r--r-- 0:0 /usr/share/bash-completion/completions/crowdsec-stormshield",
	"-rw-r--r-- 0:0 /usr/share/zsh/vendor-completions/_crowdsec-stormshield",
	"-rw-r--r-- 0:0 /usr/share/fish/vendor_completions.d/crowdsec-stormshield.fish",
	"-rw-r--r-- 0:0 /usr/share/doc/crowdsec-stormshield/docs/operations.md",
	"-rw-r--r-- 0:0 /usr/share/doc/crowdsec-stormshield/docs/containers.md",
	"-rw-r--r-- 0:0 /usr/share/doc/crowdsec-stormshield/prometheus/crowdsec-stormshield.rules.yml",
	"-rw-r--r-- 0:0 /usr/share/doc/crowdsec-stormshield/grafana/crowdsec-stormshield.json",
}

// setUp runs `setup` in a Debian, with a line for each answer. Then it sets the update_frequency of the tests, and adds the
// profile that `cscli decisions add` needs with CrowdSec 1.4.6.
func setUp(t testing.TB, d *debian, env *Environment) {
	t.Helper()
	before := d.read(t, profilesFile)
	answers := strings.Join([]string{
		"127.0.0.1", user, password, user, "", // the password of the API is that of SSH
		"192.0.2.77", // never blocked
		"",           // the blacklist enforces
		"",           // no other machine shares the state
		"yes",        // these are the appliance's fingerprints
		"yes",        // follow the Local API
		"yes",        // change the profiles like this
	}, "\n") + "\n"
	setup := d.command(t.Context(), "crowdsec-stormshield", "setup",
		"--ssh-port", strconv.Itoa(env.SSH.port), "--api-port", strconv.Itoa(env.Appliance.port), "--config-dir", env.Appliance.configDir)
	setup.Stdin = strings.NewReader(answers)
	text, err := setup.CombinedOutput()
	out := string(text)
	t.Logf("crowdsec-stormshield setup\n%s", out)
	if err != nil {
		t.Fatalf("setup: %v\n%s", err, out)
	}
	checkContains(t, out, "Enforce CrowdSec's lists and unbans too", env.SSH.hostKey, env.Appliance.fingerprint, "All is well", "In the profiles default_ip_remediation", "+  - "+notification,
		"systemctl reload crowdsec", "cscli notifications test")
	if strings.Contains(out, password) {
		t.Error("setup prints a password")
	}
	after := d.read(t, profilesFile)
	if !strings.Contains(after, "\n  - "+notification+"\n") || len(after) <= len(before) {
		t.Errorf("the profiles do not name the notification:\n%s", after)
	}
	d.wantLines(t, "-rw------- 0:0 "+notificationFile)

	const usual = "\n# update_frequency: 30s\n"
	configuration := d.read(t, notificationFile)
	checkContains(t, configuration, "\n  url: 'http://127.0.0.1:", "\n  key: '")
	if !strings.Contains(configuration, usual) {
		t.Fatalf("setup wrote no commented sample:\n%s", configuration)
	}
	d.write(t, notificationFile, 0o600, strings.Replace(configuration, usual, "\nupdate_frequency: 2s\nlog_level: debug\n", 1))
	d.write(t, profilesFile, 0o644, after+`---
name: by_hand
filters:
 - len(Alert.Decisions) > 0
notifications:
 - `+notification+`
`)
}

// debianCrowdSec configures the crowdsec that is installed in a Debian: its own folders and accounts, a port of the test,
// and a plugin folder that has only this plugin, because 1.4.6 loads none otherwise.
func debianCrowdSec(t testing.TB, d *debian, folder string) *CrowdSec {
	t.Helper()
	c := &CrowdSec{release: older, inside: d, folder: folder, dir: d.path("/etc/crowdsec"), port: freePort(t)}
	d.write(t, "/etc/crowdsec/config.yaml.local", 0o600, `common:
  log_media: stdout
config_paths:
  plugin_dir: `+ownFolder+`/
db_config:
  use_wal: true
api:
  server:
    listen_uri: 127.0.0.1:`+strconv.Itoa(c.port)+`
prometheus:
  enabled: false
`)
	c.mustCscli(t, "machines", "add", machine, "--password", machinePassword, "--force",
		"--url", c.url(), "-f", "/etc/crowdsec/local_api_credentials.yaml")
	return c
}

func TestADebWorksFromInstallationToPurgeWithDebiansCrowdSec(t *testing.T) {
	folder := temporaryFolder(t)
	d := newDebian(t, debianWithCrowdSec)
	env := newApplianceEnvironment(t, folder, "/bin/sh")
	profiles := d.read(t, profilesFile)

	// Installation.
	out := d.run(t, "dpkg", "-i", d.copyIn(t, packageFile(t, thesePackages, "*_amd64.deb")))
	checkContains(t, out, "crowdsec-stormshield setup", "plugin_dir: "+ownFolder, "/usr/lib/crowdsec/plugins/dummy")
	d.wantLines(t, debFiles...)
	d.wantLines(t, "drwx------ 65534:65534 "+stateFolder)
	version := strings.TrimSpace(d.run(t, "dpkg-query", "-Wf", "${Version}", "crowdsec-stormshield"))
	checkContains(t, d.run(t, "crowdsec-stormshield", "version"), version)
	if left := d.read(t, profilesFile); left != profiles {
		t.Errorf("the installation changed the profiles:\n%s", left)
	}

	// CrowdSec ignores the sample, also when a profile names a notification.
	env.CrowdSec = debianCrowdSec(t, d, folder)
	env.CrowdSec.tryConfiguration(t)
	env.CrowdSec.Start(t)
	setUp(t, d, env)
	env.CrowdSec.Stop(t)
	env.Plugin = &Plugin{binary: d.path(debPlugin)}
	t.Cleanup(func() { killAll(env.Plugin.binary) })
	env.CrowdSec.Start(t)
	env.Plugin.waitUntilActive(t)

	const banned = "203.0.113.120"
	env.waitUntilEnforced(t, banned, env.CrowdSec.Ban(t, "--ip", banned, time.Hour), enforcedWithin)
	stayedBlocked := env.guardBans(t, banned)
	worksWithOneBan(t, d)

	// Upgrade. The old version runs until the administrator reloads CrowdSec.
	before := configurationAndState(t, d)
	plugin, crowdsec := env.Plugin.Processes(), env.CrowdSec.cmd.Process.Pid
	out = d.run(t, "dpkg", "-i", d.copyIn(t, packageFile(t, higherPackages, "*_amd64.deb")))
	checkContains(t, out, "systemctl reload crowdsec")
	if after := configurationAndState(t, d); after != before {
		t.Errorf("the upgrade changed configuration or state:\n%s", differences(before, after))
	}
	if now := env.Plugin.Processes(); len(now) != 1 || now[0] != plugin[0] {
		t.Errorf("the upgrade stopped the running plugin: %v before, %v now", plugin, now)
	}
	d.wantLines(t, debFiles...)
	checkContains(t, d.run(t, "crowdsec-stormshield", "version"), " 99.0.0 ")
	env.CrowdSec.Reload(t)
	waitFor(t, 10*time.Second, "CrowdSec runs only the new version", func() (bool, string) {
		pids := env.Plugin.Processes()
		return len(pids) == 1 && runs(pids[0], env.Plugin.binary), "it does not"
	})
	env.Plugin.waitUntilActive(t)
	worksWithOneBan(t, d)

	// Removal keeps the administrator's files, and prints what CrowdSec still needs.
	before = configurationAndState(t, d)
	out = d.run(t, "dpkg", "-r", "crowdsec-stormshield")
	checkContains(t, out, "/etc/crowdsec/profiles.yaml still names stormshield_default", "/etc/crowdsec/config.yaml.local still has plugin_dir",
		"crowdsec-stormshield cleanup", "kept "+notificationFile+" "+stateFolder)
	d.wantLines(t, "missing "+debPlugin, "missing /usr/bin/crowdsec-stormshield", "missing "+ownFolder, "drwx------ 65534:65534 "+stateFolder,
		"-rw------- 0:0 "+notificationFile, "-rw------- 0:0 "+sampleFile)
	if after := configurationAndState(t, d); after != before {
		t.Errorf("the removal changed configuration or state:\n%s", differences(before, after))
	}
	if out, err := env.CrowdSec.command(t.Context(), "crowdsec", "-no-cs", "-t").CombinedOutput(); err == nil {
		t.Errorf("CrowdSec starts without the plugin, so the warning was wrong:\n%s", out)
	}
	env.CrowdSec.checkRunning(t)
	if env.CrowdSec.cmd.Process.Pid != crowdsec {
		t.Error("CrowdSec was restarted")
	}
	stayedBlocked()

	// CrowdSec reloads as soon as the administrator has followed the warning.
	d.write(t, profilesFile, 0o644, profiles)
	env.CrowdSec.Reload(t)
	env.Plugin.waitUntilGone(t)

	// Purge.
	out = d.run(t, "dpkg", "-P", "crowdsec-stormshield")
	checkContains(t, out, "deleted "+notificationFile, "deleted "+stateFolder, "the appliance still holds its groups")
	d.wantLines(t, "missing "+notificationFile, "missing "+sampleFile, "missing "+stateFolder)
	if _, blocked := env.Appliance.Blocked(t, prefix(banned)); !blocked {
		t.Errorf("the purge says that %s is still blocked, and it is not", banned)
	}
	if left := d.read(t, profilesFile); left != profiles {
		t.Errorf("the purge changed the profiles:\n%s", left)
	}
	env.CrowdSec.Stop(t)
}

// worksWithOneBan waits until `status`, as root, shows one ban.
func worksWithOneBan(t testing.TB, d *debian) {
	t.Helper()
	waitFor(t, 10*time.Second, "status shows one ban, enforced", func() (bool, string) {
		out, err := d.command(t.Context(), "crowdsec-stormshield", "status").CombinedOutput()
		good := err == nil && strings.Contains(string(out), ": working\n") &&
			regexp.MustCompile(`bans in force +1, `).Match(out) && regexp.MustCompile(`pending +nothing`).Match(out)
		return good, string(out)
	})
}

// configurationAndState returns the texts of the configuration and the bans of the state. It uses a copy of the command,
// because the package may be removed.
func configurationAndState(t testing.TB, d *debian) string {
	t.Helper()
	text := d.read(t, notificationFile) + d.read(t, sampleFile) + d.read(t, profilesFile) + d.read(t, "/etc/crowdsec/config.yaml.local")
	program, err := os.ReadFile(builtPlugin())
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "/observer", 0o755, string(program))
	bans := d.run(t, "/observer", "bans", "--json")
	if !strings.Contains(bans, `"blocked": true`) {
		t.Errorf("the state has no blocked ban:\n%s", bans)
	}
	return text + bans + d.line(t, stateFolder)
}

// runs reports whether a process runs the present file of a path, and not an earlier one.
func runs(pid int, path string) bool {
	exe, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	if err != nil {
		return false
	}
	file, err := os.Stat(path)
	return err == nil && os.SameFile(exe, file)
}

func TestTheStateFolderBelongsToTheUserThatRunsPlugins(t *testing.T) {
	d := newDebian(t, bareDebian)
	deb := d.copyIn(t, packageFile(t, thesePackages, "*_amd64.deb"))
	for _, c := range []struct{ name, config, local, owner string }{
		{"no CrowdSec", "", "", "65534:65534"},
		{"a section that is not there", "api:\n  server:\n    user: daemon\n", "", "65534:65534"},
		{"plain", "plugin_config:\n  user: daemon # a comment\n  group: mail\n", "", "1:8"},
		{"quoted", "plugin_config:\n    # a comment\n    user: \"daemon\"\n    group: 'mail' # another\n", "", "1:8"},
		{"overridden", "plugin_config:\n  user: nobody\n  group: nogroup\n", "plugin_config:\n  user: daemon\n", "1:65534"},
		{"CrowdSec's own user", "plugin_config:\n  user: \"\"\n  group: \"\"\n", "", "0:0"},
		{"a user that does not exist", "plugin_config:\n  user: someone\n  group: nogroup\n", "", "0:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for file, text := range map[string]string{"config.yaml": c.config, "config.yaml.local": c.local} {
				_ = os.Remove(d.path("/etc/crowdsec/" + file))
				if text != "" {
					d.write(t, "/etc/crowdsec/"+file, 0o600, text)
				}
			}
			out := d.run(t, "dpkg", "-i", deb)
			d.wantLines(t, "drwx------ "+c.owner+" "+stateFolder)
			if c.name == "a user that does not exist" {
				checkContains(t, out, "there is no someone:nogroup", "plugin_config")
			}
			d.run(t, "dpkg", "-P", "crowdsec-stormshield")
		})
	}

	t.Run("a program that does not run on this machine", func(t *testing.T) {
		d.write(t, "/etc/crowdsec/config.yaml", 0o600, "plugin_config:\n  user: daemon\n")
		out := d.run(t, "dpkg", "--force-architecture", "-i", d.copyIn(t, packageFile(t, thesePackages, "*_arm64.deb")))
		checkContains(t, out, "does not run on this machine", "crowdsec-stormshield setup")
		d.wantLines(t, "drwx------ 65534:65534 "+stateFolder)
		d.run(t, "dpkg", "-P", "crowdsec-stormshield:arm64")
	})
	t.Run("an existing folder keeps its owner", func(t *testing.T) {
		if err := os.Mkdir(d.path(stateFolder), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(d.path(stateFolder), 3, 4); err != nil {
			t.Fatal(err)
		}
		d.run(t, "dpkg", "-i", deb)
		d.wantLines(t, "drwxr-x--- 3:4 "+stateFolder)
	})
}

func TestAPurgeKeepsNotificationsOfOthers(t *testing.T) {
	d := newDebian(t, bareDebian)
	deb := d.copyIn(t, packageFile(t, thesePackages, "*_amd64.deb"))
	for _, other := range []string{
		"type: slack\nname: two\n",
		"  type: slack\n  name: two\n",
		"\"type\": slack\nname: two\n",
		"{type: slack, name: two}\n",
	} {
		d.run(t, "dpkg", "-i", deb)
		d.write(t, notificationFile, 0o600, "type: stormshield\nname: one\n---\n"+other)
		checkContains(t, d.run(t, "dpkg", "-P", "crowdsec-stormshield"), "kept "+notificationFile)
		d.wantLines(t, "-rw------- 0:0 "+notificationFile, "missing "+stateFolder, "missing "+sampleFile)
	}
}

func TestTheManualPageOfTheDebRenders(t *testing.T) {
	d := newDebian(t, bareDebian)
	d.run(t, "dpkg", "-i", d.copyIn(t, packageFile(t, thesePackages, "*_amd64.deb")))
	page := rendered(t, d.path("/usr/share/man/man8/crowdsec-stormshield.8.gz"))
	checkContains(t, page, "crowdsec-stormshield cleanup", "EXIT STATUS", notificationFile, "SEE ALSO")
}

// rendered returns a manual page as plain text. The formatter must not complain.
func rendered(t testing.TB, file string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := shell(ctx, `gzip -dc "$1" | groff -mdoc -Tascii -P-cbou -ww 2>&1`, file)
	page := run(t, cmd)
	if strings.Contains(page, "warning") || strings.Contains(page, "error:") {
		t.Errorf("groff complains:\n%s", page)
	}
	return page
}
