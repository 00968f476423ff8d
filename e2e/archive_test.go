package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestTheArchiveIsInstalledBelowAPrefixAndUninstalled(t *testing.T) {
	for name, prefix := range map[string]string{"the usual prefix": "/usr/local", "another": "/opt/crowdsec tools"} {
		t.Run(name, func(t *testing.T) {
			d := newDebian(t, bareDebian)
			archive := d.copyIn(t, unpacked(t, "amd64"))
			const profiles = "name: all\nnotifications: [stormshield_default]\n"
			d.write(t, "/etc/crowdsec/profiles.yaml", 0o600, profiles)
			d.write(t, "/etc/crowdsec/config.yaml", 0o600, "plugin_config:\n  user: daemon\n  group: mail\nconfig_paths:\n  plugin_dir: /usr/local/lib/crowdsec/plugins\n")
			if name != "the usual prefix" {
				// CrowdSec's folder is not below the prefix.
				d.write(t, "/usr/local/lib/crowdsec/plugins/notification-other", 0o551, "")
			}
			d.run(t, "mkdir", "-p", prefix)
			before := d.allLines(t)

			out := d.run(t, archive+"/install.sh", "--prefix", prefix)
			checkContains(t, out, "installed below "+prefix, "crowdsec-stormshield setup")
			d.wantLineStart(t, "-r-xr-x--x 0:0 ", prefix+"/lib/crowdsec/plugins/notification-stormshield")
			d.wantLineStart(t, "Lrwxrwxrwx 0:0 ", prefix+"/bin/crowdsec-stormshield")
			d.wantLineStart(t, "Lrwxrwxrwx 0:0 ", prefix+"/lib/crowdsec-stormshield/plugins/notification-stormshield")
			for _, file := range []string{
				"share/man/man8/crowdsec-stormshield.8", "share/bash-completion/completions/crowdsec-stormshield",
				"share/zsh/site-functions/_crowdsec-stormshield", "share/fish/vendor_completions.d/crowdsec-stormshield.fish",
				"share/doc/crowdsec-stormshield/LICENSE", "share/doc/crowdsec-stormshield/stormshield.yaml.sample",
				"share/doc/crowdsec-stormshield/docs/operations.md", "share/doc/crowdsec-stormshield/docs/containers.md",
				"share/doc/crowdsec-stormshield/prometheus/crowdsec-stormshield.rules.yml",
				"share/doc/crowdsec-stormshield/grafana/crowdsec-stormshield.json",
			} {
				d.wantLineStart(t, "-rw-r--r-- 0:0 ", prefix+"/"+file)
			}
			d.wantLineStart(t, "drwx------ 1:8 ", stateFolder)
			checkContains(t, d.run(t, prefix+"/bin/crowdsec-stormshield", "version"), "linux/amd64")
			if name != "the usual prefix" {
				checkContains(t, out, "CrowdSec looks for plugins in /usr/local/lib/crowdsec/plugins", "not in your PATH")
			}

			// A second installation is an upgrade. The removal after it must remove as much.
			d.write(t, stateFolder+"/state.db", 0o600, "bans")
			d.write(t, notificationFile, 0o600, "type: stormshield\nname: stormshield_default\n")
			checkContains(t, d.run(t, archive+"/install.sh", "--yes", "--prefix="+prefix), "systemctl reload crowdsec")

			out = d.run(t, archive+"/install.sh", "--uninstall", "--prefix", prefix)
			checkContains(t, out, "/etc/crowdsec/profiles.yaml still names stormshield_default", "kept "+notificationFile+" "+stateFolder, "rm -r ")
			after := d.allLines(t)
			for _, kept := range []string{stateFolder, stateFolder + "/state.db", notificationFile, filepath.Dir(notificationFile)} {
				if _, there := after[kept]; !there {
					t.Errorf("%s is gone", kept)
				}
				delete(after, kept)
			}
			for file, line := range after {
				if before[file] != line {
					t.Errorf("left behind, or changed: %s", line)
				}
			}
			for file := range before {
				if _, there := after[file]; !there {
					t.Errorf("%s is gone", file)
				}
			}
		})
	}
}

// wantLineStart fails the test if the line of a file does not begin with a text. The name of the file may have spaces.
func (d *debian) wantLineStart(t testing.TB, want, file string) {
	t.Helper()
	if line := d.line(t, file); !strings.HasPrefix(line, want) {
		t.Errorf("found %q, want %q", line, want)
	}
}

func TestTheInstallScriptRefusesWrongUse(t *testing.T) {
	d := newDebian(t, bareDebian)
	amd64, arm64 := d.copyIn(t, unpacked(t, "amd64")), d.copyIn(t, unpacked(t, "arm64"))
	before := d.allLines(t)
	atTerminal := "mount -t devpts none /dev/pts; echo n | script -qec " + amd64 + "/install.sh /dev/null"
	for name, c := range map[string]struct {
		words []string
		want  string
	}{
		"not root":               {[]string{"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", amd64 + "/install.sh"}, "run this as root"},
		"the wrong architecture": {[]string{arm64 + "/install.sh"}, "this archive is for arm64, and this machine is amd64"},
		"an unknown option":      {[]string{amd64 + "/install.sh", "--force"}, "there is no option --force"},
		"no folder":              {[]string{amd64 + "/install.sh", "--prefix"}, "--prefix needs a folder"},
		"a relative folder":      {[]string{amd64 + "/install.sh", "--prefix", "usr"}, "a path from the root"},
		"nothing to uninstall":   {[]string{amd64 + "/install.sh", "--uninstall"}, "nothing of this plugin was installed"},
		"the answer no":          {[]string{"sh", "-c", atTerminal}, "install the plugin below /usr/local? [y/N]"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := d.command(t.Context(), c.words...).CombinedOutput()
			if err == nil {
				t.Error("the script succeeded")
			}
			checkContains(t, string(out), c.want)
		})
	}
	for file, line := range d.allLines(t) {
		if before[file] != line {
			t.Errorf("left behind, or changed: %s", line)
		}
	}
	checkContains(t, d.run(t, amd64+"/install.sh", "--help"), "Usage:", "--prefix DIR", "--uninstall", "--yes")
}
