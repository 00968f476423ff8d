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

// Combination is a release of CrowdSec, a login shell, and a mode of the plugin.
type Combination struct {
	CrowdSec Release
	Mode     Mode
}

// Mode is how the plugin reaches the appliance.
type Mode struct {
	Name       string
	LoginShell string // of the appliance's SSH user
	APIAlone   bool   // the plugin has no credentials for SSH
}

var (
	overSSH  = Mode{Name: "sh", LoginShell: "/bin/sh"}
	overCsh  = Mode{Name: "csh", LoginShell: "/bin/csh"}
	apiAlone = Mode{Name: "api-alone", LoginShell: "/bin/sh", APIAlone: true}
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

// forEachCombination runs a scenario with both releases and all modes, each in its own environment, and then checkCleanup.
func forEachCombination(t *testing.T, scenario func(*testing.T, *Environment)) {
	t.Helper()
	forEach(t, []Release{current, older}, []Mode{overSSH, overCsh, apiAlone}, scenario)
}

// forEachMode runs a scenario with the newest release and both modes.
func forEachMode(t *testing.T, scenario func(*testing.T, *Environment)) {
	t.Helper()
	forEach(t, []Release{current}, []Mode{overSSH, apiAlone}, scenario)
}

// inParallel runs a scenario that mostly waits, with each release. All such scenarios of the package run in parallel.
func inParallel(t *testing.T, releases []Release, scenario func(*testing.T, *Environment)) {
	t.Helper()
	t.Parallel()
	for _, release := range releases {
		t.Run("crowdsec-"+release.Version, func(t *testing.T) {
			t.Parallel()
			runIn(t, Combination{CrowdSec: release, Mode: overSSH}, scenario)
		})
	}
}

func forEach(t *testing.T, releases []Release, modes []Mode, scenario func(*testing.T, *Environment)) {
	t.Helper()
	for _, release := range releases {
		t.Run("crowdsec-"+release.Version, func(t *testing.T) {
			for _, mode := range modes {
				t.Run(mode.Name, func(t *testing.T) {
					t.Parallel() // they mostly wait; a few at once keep the time limits
					runIn(t, Combination{CrowdSec: release, Mode: mode}, scenario)
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
	if connections := env.SSH.logged("Connection from"); c.Mode.APIAlone && connections > 0 {
		t.Errorf("%d connections over SSH without credentials for it", connections)
	}
}
