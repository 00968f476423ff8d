package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const rpmPlugin = "/usr/lib64/crowdsec/plugins/notification-stormshield"

var rpmFiles = []string{
	"-r-xr-x--x 0:0 " + rpmPlugin,
	"Lrwxrwxrwx 0:0 /usr/bin/crowdsec-stormshield -> ../lib64/crowdsec/plugins/notification-stormshield",
	"drwxr-xr-x 0:0 " + ownFolder,
	"Lrwxrwxrwx 0:0 " + ownFolder + "/notification-stormshield -> ../../../lib64/crowdsec/plugins/notification-stormshield",
	"-rw------- 0:0 " + sampleFile,
	"-rw-r--r-- 0:0 /usr/share/man/man8/crowdsec-stormshield.8.gz",
	"-rw-r--r-- 0:0 /usr/share/bash-completion/completions/crowdsec-stormshield",
	"-rw-r--r-- 0:0 /usr/share/zsh/site-functions/_crowdsec-stormshield",
	"-rw-r--r-- 0:0 /usr/share/fish/vendor_completions.d/crowdsec-stormshield.fish",
	"-rw-r--r-- 0:0 /usr/share/doc/crowdsec-stormshield/README.md",
	"-rw-r--r-- 0:0 /usr/share/doc/crowdsec-stormshield/docs/operations.md",
	"-rw-r--r-- 0:0 /usr/share/doc/crowdsec-stormshield/docs/containers.md",
	"-rw-r--r-- 0:0 /usr/share/doc/crowdsec-stormshield/prometheus/crowdsec-stormshield.rules.yml",
	"-rw-r--r-- 0:0 /usr/share/doc/crowdsec-stormshield/grafana/crowdsec-stormshield.json",
	"-rw-r--r-- 0:0 /usr/share/licenses/crowdsec-stormshield/LICENSE",
	"-rw-r--r-- 0:0 /usr/share/licenses/crowdsec-stormshield/third-party.txt",
}

// This machine's rpm installs the package in the folder of a Debian, where its scripts run. Another test checks the
// dependencies, because rpm installed nothing in that folder.
func TestAnRpmIsInstalledUpgradedAndErased(t *testing.T) {
	d := newDebian(t, bareDebian)
	// As on systems that use rpm.
	d.write(t, "/etc/group", 0o644, strings.Replace(d.read(t, "/etc/group"), "nogroup:", "nobody:", 1))
	d.write(t, "/etc/crowdsec/config.yaml", 0o600, "config_paths:\n  plugin_dir: /usr/lib64/crowdsec/plugins/\n")
	d.rpm(t, "--initdb")

	out := d.rpm(t, "-i", "--nodeps", packageFile(t, thesePackages, "*.x86_64.rpm"))
	checkContains(t, out, "crowdsec-stormshield setup")
	d.wantLines(t, rpmFiles...)
	d.wantLines(t, "drwx------ 65534:65534 "+stateFolder)
	checkContains(t, d.run(t, "crowdsec-stormshield", "version"), "crowdsec-stormshield ")
	if out := d.rpm(t, "-V", "--nodeps", "crowdsec-stormshield"); out != "" {
		t.Errorf("rpm finds files that differ from the package:\n%s", out)
	}

	// Removal keeps the administrator's files.
	const notificationText, profiles = "type: stormshield\nname: north\n", "name: all\nnotifications:\n  - north\n"
	d.write(t, notificationFile, 0o600, notificationText)
	d.write(t, "/etc/crowdsec/profiles.yaml", 0o600, profiles)
	d.write(t, stateFolder+"/north.db", 0o600, "bans")
	kept := func() {
		t.Helper()
		if d.read(t, notificationFile) != notificationText || d.read(t, "/etc/crowdsec/profiles.yaml") != profiles || d.read(t, stateFolder+"/north.db") != "bans" {
			t.Error("configuration or state has changed")
		}
	}
	out = d.rpm(t, "-U", "--nodeps", packageFile(t, higherPackages, "*.x86_64.rpm"))
	checkContains(t, out, "systemctl reload crowdsec")
	if strings.Contains(out, "WARNING") || strings.Contains(out, "kept") {
		t.Errorf("the upgrade prints messages of a removal:\n%s", out)
	}
	d.wantLines(t, rpmFiles...)
	checkContains(t, d.run(t, "crowdsec-stormshield", "version"), " 99.0.0 ")
	kept()

	out = d.rpm(t, "-e", "--nodeps", "crowdsec-stormshield")
	checkContains(t, out, "/etc/crowdsec/profiles.yaml still names north", "crowdsec-stormshield cleanup",
		"kept "+notificationFile+" "+stateFolder, "rm -r ")
	d.wantLines(t, "missing "+rpmPlugin, "missing /usr/bin/crowdsec-stormshield", "missing /usr/lib/crowdsec-stormshield",
		"missing /usr/share/licenses/crowdsec-stormshield", "missing /usr/share/doc/crowdsec-stormshield")
	kept()
}

// rpm runs this machine's rpm on a Debian and returns its output.
func (d *debian) rpm(t testing.TB, words ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "rpm", append([]string{"--root", d.root}, words...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	t.Logf("rpm %s\n%s", strings.Join(words, " "), out)
	return string(out)
}

func TestBothRpmsNeedAShellAndHaveTheSameScriptsAndFiles(t *testing.T) {
	query := func(architecture, what string) string {
		return run(t, exec.CommandContext(t.Context(), "rpm", "-qp", what, packageFile(t, thesePackages, "*."+architecture+".rpm")))
	}
	for _, what := range []string{"--scripts", "--list", "--configfiles", "--licensefiles", "--docfiles", "--recommends"} {
		intel, arm := query("x86_64", what), query("aarch64", what)
		if intel != arm || intel == "" {
			t.Errorf("%s of x86_64:\n%s\nand of aarch64:\n%s", what, intel, arm)
		}
	}
	var needs []string
	for _, line := range strings.Fields(query("x86_64", "--requires")) {
		if strings.HasPrefix(line, "/") {
			needs = append(needs, line)
		} else if !strings.HasPrefix(line, "rpmlib(") && !strings.ContainsAny(line, "<=>0123456789)") {
			t.Errorf("it requires %s", line)
		}
	}
	if got := strings.Join(needs, " "); got != "/bin/sh" {
		t.Errorf("it requires %s", got)
	}
	checkContains(t, query("x86_64", "--scripts"), "postinstall scriptlet", "preuninstall scriptlet", "postuninstall scriptlet")
	for _, start := range []string{"systemctl start", "systemctl restart", "service ", "deb-systemd"} {
		if strings.Contains(query("x86_64", "--scripts"), start) {
			t.Errorf("a script has %q", start)
		}
	}
	checkContains(t, query("x86_64", "--configfiles"), sampleFile)
}
