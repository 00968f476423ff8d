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

// debFiles are the files of the deb, beside the documents.
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
}

// setUp sets the plugin up in a Debian, as an administrator does: by `setup`, which is answered line by line. Then it
// sets the rhythm that tests wait for, and adds the profile that `cscli decisions add` needs with CrowdSec 1.4.6.
func setUp(t testing.TB, d *debian, w *World) {
	t.Helper()
	before := d.read(t, profilesFile)
	answers := strings.Join([]string{
		"127.0.0.1", user, password, user, "", // the password of the API is that of SSH
		"192.0.2.77", // never to be blocked
		"yes",        // these are the appliance's fingerprints
		"yes",        // follow the Local API
		"yes",        // change the profiles like this
	}, "\n") + "\n"
	setup := d.command(t.Context(), "crowdsec-stormshield", "setup",
		"--ssh-port", strconv.Itoa(w.SSH.port), "--api-port", strconv.Itoa(w.Appliance.port), "--config-dir", w.Appliance.configDir)
	setup.Stdin = strings.NewReader(answers)
	text, err := setup.CombinedOutput()
	out := string(text)
	t.Logf("crowdsec-stormshield setup\n%s", out)
	if err != nil {
		t.Fatalf("setup: %v\n%s", err, out)
	}
	contains(t, out, "Enforce CrowdSec's lists and unbans too", w.SSH.hostKey, w.Appliance.fingerprint, "All is well", "In the profiles default_ip_remediation", "+  - "+notification,
		"systemctl reload crowdsec", "cscli notifications test")
	if strings.Contains(out, password) {
		t.Error("setup prints a password")
	}
	after := d.read(t, profilesFile)
	if !strings.Contains(after, "\n  - "+notification+"\n") || len(after) <= len(before) {
		t.Errorf("the profiles do not name the notification:\n%s", after)
	}
	d.has(t, "-rw------- 0:0 "+notificationFile)

	const usual = "\n# update_frequency: 30s\n"
	configuration := d.read(t, notificationFile)
	contains(t, configuration, "\n  url: 'http://127.0.0.1:", "\n  key: '")
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

// debianCrowdSec configures the crowdsec that is installed in a Debian: its own folders and accounts, a port of ours,
// and for plugins the folder with ours alone, without which 1.4.6 loads none.
func debianCrowdSec(t testing.TB, d *debian, folder string) *CrowdSec {
	t.Helper()
	c := &CrowdSec{release: older, debian: d, folder: folder, dir: d.path("/etc/crowdsec"), port: freePort(t)}
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

func TestADebServesFromInstallationToPurgeUnderDebiansCrowdSec(t *testing.T) {
	folder := temporaryFolder(t)
	d := newDebian(t, debianWithCrowdSec)
	w := newAppliance(t, folder, "/bin/sh")
	profiles := d.read(t, profilesFile)

	// Installation.
	out := d.run(t, "dpkg", "-i", d.bring(t, built(t, thesePackages, "*_amd64.deb")))
	contains(t, out, "crowdsec-stormshield setup", "plugin_dir: "+ownFolder, "/usr/lib/crowdsec/plugins/dummy")
	d.has(t, debFiles...)
	d.has(t, "drwx------ 65534:65534 "+stateFolder)
	version := strings.TrimSpace(d.run(t, "dpkg-query", "-Wf", "${Version}", "crowdsec-stormshield"))
	contains(t, d.run(t, "crowdsec-stormshield", "version"), version)
	if left := d.read(t, profilesFile); left != profiles {
		t.Errorf("the installation changed the profiles:\n%s", left)
	}

	// The sample is beside, and CrowdSec does not mind: neither alone, nor when a profile names a notification.
	w.CrowdSec = debianCrowdSec(t, d, folder)
	w.CrowdSec.tryConfiguration(t)
	w.CrowdSec.Start(t)
	setUp(t, d, w)
	w.CrowdSec.Stop(t)
	w.Plugin = &Plugin{binary: d.path(debPlugin)}
	t.Cleanup(func() { killAll(w.Plugin.binary) })
	w.CrowdSec.Start(t)
	w.Plugin.waitUntilActive(t)

	const banned = "203.0.113.120"
	w.waitUntilEnforced(t, banned, w.CrowdSec.Ban(t, "--ip", banned, time.Hour), enforcedWithin)
	stayedBlocked := w.guardBans(t, banned)
	worksWithOneBan(t, d)

	// Upgrade. The version before runs until the administrator says so.
	before := configurationAndState(t, d)
	plugin, crowdsec := w.Plugin.Processes(), w.CrowdSec.cmd.Process.Pid
	out = d.run(t, "dpkg", "-i", d.bring(t, built(t, higherPackages, "*_amd64.deb")))
	contains(t, out, "systemctl reload crowdsec")
	if after := configurationAndState(t, d); after != before {
		t.Errorf("the upgrade changed configuration or state:\n%s", differences(before, after))
	}
	if now := w.Plugin.Processes(); len(now) != 1 || now[0] != plugin[0] {
		t.Errorf("the upgrade touched the plugin that ran: %v before, %v now", plugin, now)
	}
	d.has(t, debFiles...)
	contains(t, d.run(t, "crowdsec-stormshield", "version"), " 99.0.0 ")
	w.CrowdSec.Reload(t)
	waitFor(t, 10*time.Second, "CrowdSec runs the new version, alone", func() (bool, string) {
		pids := w.Plugin.Processes()
		return len(pids) == 1 && runs(pids[0], w.Plugin.binary), "it does not"
	})
	w.Plugin.waitUntilActive(t)
	worksWithOneBan(t, d)

	// Removal keeps what is the administrator's, and says what CrowdSec still needs.
	before = configurationAndState(t, d)
	out = d.run(t, "dpkg", "-r", "crowdsec-stormshield")
	contains(t, out, "/etc/crowdsec/profiles.yaml still names stormshield_default", "/etc/crowdsec/config.yaml.local still has plugin_dir",
		"crowdsec-stormshield cleanup", "kept "+notificationFile+" "+stateFolder)
	d.has(t, "missing "+debPlugin, "missing /usr/bin/crowdsec-stormshield", "missing "+ownFolder, "drwx------ 65534:65534 "+stateFolder,
		"-rw------- 0:0 "+notificationFile, "-rw------- 0:0 "+sampleFile)
	if after := configurationAndState(t, d); after != before {
		t.Errorf("the removal changed configuration or state:\n%s", differences(before, after))
	}
	if out, err := w.CrowdSec.command(t.Context(), "crowdsec", "-no-cs", "-t").CombinedOutput(); err == nil {
		t.Errorf("CrowdSec starts without the plugin, so that the warning was wrong:\n%s", out)
	}
	w.CrowdSec.running(t)
	if w.CrowdSec.cmd.Process.Pid != crowdsec {
		t.Error("CrowdSec was started anew")
	}
	stayedBlocked()

	// CrowdSec goes on as soon as the administrator followed the warning.
	d.write(t, profilesFile, 0o644, profiles)
	w.CrowdSec.Reload(t)
	w.Plugin.waitUntilGone(t)

	// Purge.
	out = d.run(t, "dpkg", "-P", "crowdsec-stormshield")
	contains(t, out, "deleted "+notificationFile, "deleted "+stateFolder, "the appliance still holds its groups")
	d.has(t, "missing "+notificationFile, "missing "+sampleFile, "missing "+stateFolder)
	if _, blocked := w.Appliance.Blocked(t, prefix(banned)); !blocked {
		t.Errorf("%s is not blocked any more, and the purge says that it is", banned)
	}
	if left := d.read(t, profilesFile); left != profiles {
		t.Errorf("the purge changed the profiles:\n%s", left)
	}
	w.CrowdSec.Stop(t)
}

// worksWithOneBan asks `status`, as root.
func worksWithOneBan(t testing.TB, d *debian) {
	t.Helper()
	waitFor(t, 10*time.Second, "status shows one ban, enforced", func() (bool, string) {
		out, err := d.command(t.Context(), "crowdsec-stormshield", "status").CombinedOutput()
		good := err == nil && strings.Contains(string(out), ": working\n") &&
			regexp.MustCompile(`bans in force +1, `).Match(out) && regexp.MustCompile(`pending +nothing`).Match(out)
		return good, string(out)
	})
}

// configurationAndState is the text of the configuration, and what the state says of its bans, through a copy of the
// command that is there whatever becomes of the package.
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
		t.Errorf("the state does not know a ban that is blocked:\n%s", bans)
	}
	return text + bans + d.line(t, stateFolder)
}

// runs tells whether a process runs the file that is at a path now, and not one that was there before.
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
	deb := d.bring(t, built(t, thesePackages, "*_amd64.deb"))
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
			d.has(t, "drwx------ "+c.owner+" "+stateFolder)
			if c.name == "a user that does not exist" {
				contains(t, out, "there is no someone:nogroup", "plugin_config")
			}
			d.run(t, "dpkg", "-P", "crowdsec-stormshield")
		})
	}

	t.Run("one that is there keeps its owner", func(t *testing.T) {
		if err := os.Mkdir(d.path(stateFolder), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(d.path(stateFolder), 3, 4); err != nil {
			t.Fatal(err)
		}
		d.run(t, "dpkg", "-i", deb)
		d.has(t, "drwxr-x--- 3:4 "+stateFolder)
	})
}

func TestAPurgeKeepsNotificationsOfOthers(t *testing.T) {
	d := newDebian(t, bareDebian)
	d.run(t, "dpkg", "-i", d.bring(t, built(t, thesePackages, "*_amd64.deb")))
	d.write(t, notificationFile, 0o600, "type: stormshield\nname: one\n---\ntype: slack\nname: two\n")
	contains(t, d.run(t, "dpkg", "-P", "crowdsec-stormshield"), "kept "+notificationFile)
	d.has(t, "-rw------- 0:0 "+notificationFile, "missing "+stateFolder, "missing "+sampleFile)
}

func TestTheManualPageOfTheDebRenders(t *testing.T) {
	d := newDebian(t, bareDebian)
	d.run(t, "dpkg", "-i", d.bring(t, built(t, thesePackages, "*_amd64.deb")))
	page := rendered(t, d.path("/usr/share/man/man8/crowdsec-stormshield.8.gz"))
	contains(t, page, "crowdsec-stormshield cleanup", "EXIT STATUS", notificationFile, "SEE ALSO")
}

// rendered is a manual page as plain text, of which the formatter must not complain.
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
