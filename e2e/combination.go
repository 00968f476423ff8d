package e2e

import (
	"path/filepath"
	"testing"
)

// Release is a CrowdSec release to run.
type Release struct {
	Version string
	// bin is the folder of crowdsec and cscli, lib that of libraries they need beside the system's ("" for none).
	bin, lib string
	// profiles names the template of profiles.yaml.
	profiles string
	// environment is set beside the test's own.
	environment string // such as NAME=value; "": nothing
	// postgres is its database; nil: SQLite.
	postgres *postgres
}

// Combination is what a test runs with.
type Combination struct {
	CrowdSec Release
	// LoginShell is that of the appliance's SSH user.
	LoginShell string
}

// CrowdSec 1.4.6 leaves remediation unset on what `cscli decisions add` sends, so that the default profiles match
// nothing there: it gets one profile more.
var (
	current = Release{Version: "1.7.8", bin: cached("crowdsec-1.7.8"), profiles: "profiles.yaml"}
	older   = Release{
		Version: "1.4.6", bin: cached("crowdsec-1.4.6/usr/bin"), lib: cached("crowdsec-1.4.6/libraries"),
		profiles: "profiles-1.4.6.yaml",
	}
)

// cached is the absolute path of something prepare.sh made.
func cached(name string) string {
	path, err := filepath.Abs(filepath.Join(".cache", name))
	if err != nil {
		panic(err)
	}
	return path
}

// everyCombination runs a behaviour with both releases and both login shells, each in a world of its own, and checks
// afterwards that the world can be left as if the plugin had never been there.
func everyCombination(t *testing.T, behaviour func(*testing.T, *World)) {
	t.Helper()
	every(t, []Release{current, older}, shells, behaviour)
}

// everyShell does so with the newest release alone.
func everyShell(t *testing.T, behaviour func(*testing.T, *World)) {
	t.Helper()
	every(t, []Release{current}, shells, behaviour)
}

// everyRelease does so where the appliance makes no difference.
func everyRelease(t *testing.T, behaviour func(*testing.T, *World)) {
	t.Helper()
	every(t, []Release{current, older}, shells[:1], behaviour)
}

// meanwhile runs a behaviour that mostly waits with each release, beside all others of its kind.
func meanwhile(t *testing.T, releases []Release, behaviour func(*testing.T, *World)) {
	t.Helper()
	t.Parallel()
	for _, release := range releases {
		t.Run("crowdsec-"+release.Version, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Combination{CrowdSec: release, LoginShell: shells[0]})
			behaviour(t, w)
			w.leaveNoTrace(t)
		})
	}
}

var shells = []string{"/bin/sh", "/bin/csh"}

func every(t *testing.T, releases []Release, shells []string, behaviour func(*testing.T, *World)) {
	t.Helper()
	for _, release := range releases {
		t.Run("crowdsec-"+release.Version, func(t *testing.T) {
			for _, shell := range shells {
				t.Run(filepath.Base(shell), func(t *testing.T) {
					t.Parallel() // the tests mostly wait; two at once keep their time limits
					w := newWorld(t, Combination{CrowdSec: release, LoginShell: shell})
					behaviour(t, w)
					w.leaveNoTrace(t)
				})
			}
		})
	}
}
