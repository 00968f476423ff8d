package e2e

import (
	"path/filepath"
	"testing"
)

// Release is a CrowdSec release to run.
type Release struct {
	Version string
	// bin is the folder of crowdsec and cscli. lib is the folder of their libraries, "" if the system's are enough.
	bin, lib string
	// profiles is the template of profiles.yaml.
	profiles string
	// environment is one more variable, such as NAME=value; "" for none.
	environment string
	// postgres is its database; nil is SQLite.
	postgres *postgres
}

// Combination is a release of CrowdSec, a login shell, and whether the plugin uses SSH.
type Combination struct {
	CrowdSec Release
	Access   Access
}

// Access is how the plugin reaches the appliance.
type Access struct {
	Name       string
	LoginShell string // of the appliance's SSH user
	WithoutSSH bool   // the plugin has no credentials for SSH
}

var (
	overSSH    = Access{Name: "sh", LoginShell: "/bin/sh"}
	overCsh    = Access{Name: "csh", LoginShell: "/bin/csh"}
	withoutSSH = Access{Name: "no-ssh", LoginShell: "/bin/sh", WithoutSSH: true}
)

// CrowdSec 1.4.6 does not set remediation in alerts of `cscli decisions add`, so its default profiles do not match them. It
// gets one more profile.
var (
	current = Release{Version: "1.7.8", bin: cached("crowdsec-1.7.8"), profiles: "profiles.yaml"}
	older   = Release{
		Version: "1.4.6", bin: cached("crowdsec-1.4.6/usr/bin"), lib: cached("crowdsec-1.4.6/libraries"),
		profiles: "profiles-1.4.6.yaml",
	}
)

// cached returns the absolute path of a file that prepare.sh made.
func cached(name string) string {
	path, err := filepath.Abs(filepath.Join(".cache", name))
	if err != nil {
		panic(err)
	}
	return path
}

// forEachCombination runs a scenario with both releases and each access, each in its own environment, and then checkCleanup.
func forEachCombination(t *testing.T, scenario func(*testing.T, *Environment)) {
	t.Helper()
	forEach(t, []Release{current, older}, []Access{overSSH, overCsh, withoutSSH}, scenario)
}

// forEachAccess runs a scenario with the newest release, with and without SSH.
func forEachAccess(t *testing.T, scenario func(*testing.T, *Environment)) {
	t.Helper()
	forEach(t, []Release{current}, []Access{overSSH, withoutSSH}, scenario)
}

// inParallel runs a scenario that mostly waits, with each release. All such scenarios of the package run in parallel.
func inParallel(t *testing.T, releases []Release, scenario func(*testing.T, *Environment)) {
	t.Helper()
	t.Parallel()
	for _, release := range releases {
		t.Run("crowdsec-"+release.Version, func(t *testing.T) {
			t.Parallel()
			runIn(t, Combination{CrowdSec: release, Access: overSSH}, scenario)
		})
	}
}

func forEach(t *testing.T, releases []Release, accesses []Access, scenario func(*testing.T, *Environment)) {
	t.Helper()
	for _, release := range releases {
		t.Run("crowdsec-"+release.Version, func(t *testing.T) {
			for _, access := range accesses {
				t.Run(access.Name, func(t *testing.T) {
					t.Parallel() // they mostly wait; a few at once keep the time limits
					runIn(t, Combination{CrowdSec: release, Access: access}, scenario)
				})
			}
		})
	}
}

// runIn runs a scenario in an environment of its own, and then checkCleanup.
func runIn(t *testing.T, c Combination, scenario func(*testing.T, *Environment)) {
	t.Helper()
	env := newEnvironment(t, c)
	scenario(t, env)
	env.checkCleanup(t)
	if connections := env.SSH.logged("Connection from"); c.Access.WithoutSSH && connections > 0 {
		t.Errorf("%d connections over SSH without credentials for it", connections)
	}
}
