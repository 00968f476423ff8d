package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// TestMain fails where the suite cannot run. It does not skip tests.
func TestMain(m *testing.M) {
	if err := requirements(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func requirements() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the suite needs root: it runs sshd with accounts of its own in a private mount namespace, and CrowdSec that starts the plugin as nobody")
	}
	for _, made := range []string{current.bin, older.bin, older.lib, cached("appliance"), cached("yq"), bareDebian, debianWithCrowdSec} {
		if _, err := os.Stat(made); err != nil {
			return fmt.Errorf("%w\nhint: run ./prepare.sh, or make e2e in the folder above", err)
		}
	}
	if _, err := os.Stat(builtPlugin()); err != nil {
		return fmt.Errorf("%w\nhint: run make build in the folder above", err)
	}
	for program, from := range map[string]string{
		"/usr/sbin/sshd": "openssh-server", "ssh-keygen": "openssh-client", "/bin/csh": "tcsh", "mount": "mount", "nsenter": "util-linux", "setpriv": "util-linux",
		"lintian": "lintian", "shellcheck": "shellcheck", "rpm": "rpm", "groff": "groff-base", "qemu-aarch64": "qemu-user", "qemu-x86_64": "qemu-user",
		postgresProgram("initdb"): "postgresql", "psql": "postgresql-client", "sqlite3": "sqlite3",
		"prometheus": "prometheus", "promtool": "prometheus", "chromium": "chromium", "skopeo": "skopeo",
	} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w\nhint: install Debian's package %s", err, from)
		}
	}
	return nil
}
