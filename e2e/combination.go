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

// Combination is a release of CrowdSec and a login shell.
type Combination struct {
	CrowdSec Release
	// LoginShell is the shell of the appliance's SSH user.
	LoginShell string
}

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

// forEachCombination runs a scenario with both releases and both login shells, each in its own environment, and then
// checkCleanup.
func forEachCombination(t *testing.T, scenario func(*testing.T, *Environment)) {
	t.Helper()
	forEach(t, []Release{current, older}, shells, scenario)
}

// forEachShell runs a scenario with the newest release and both login shells.
func forEachShell(t *testing.T, scenario func(*testing.T, *Environment)) {
	t.Helper()
	forEach(t, []Release{current}, shells, scenario)
}

// forEachRelease runs a scenario with both releases and one login shell.
func forEachRelease(t *testing.T, scenario func(*testing.T, *Environment)) {
	t.Helper()
	forEach(t, []Release{current, older}, shells[:1], scenario)
}

// inParallel runs a scenario that mostly waits, with each release. All such scenarios of the package run in parallel.
func inParallel(t *testing.T, releases []Release, scenario func(*testing.T, *Environment)) {
	t.Helper()
	t.Parallel()
	for _, release := range releases {
		t.Run("crowdsec-"+release.Version, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t, Combination{CrowdSec: release, LoginShell: shells[0]})
			scenario(t, env)
			env.checkCleanup(t)
		})
	}
}

var shells = []string{"/bin/sh", "/bin/csh"}

func forEach(t *testing.T, releases []Release, shells []string, scenario func(*testing.T, *Environment)) {
	t.Helper()
	for _, release := range releases {
		t.Run("crowdsec-"+release.Version, func(t *testing.T) {
			for _, shell := range shells {
				t.Run(filepath.Base(shell), func(t *testing.T) {
					t.Parallel() // they mostly wait; two at once keep the time limits
					env := newEnvironment(t, Combination{CrowdSec: release, LoginShell: shell})
					scenario(t, env)
					env.checkCleanup(t)
				})
			}
		})
	}
}
