package e2e

import (
	"flag"
	"testing"
	"time"
)

// The suite runs the short form. README.md has the long one.
var imports = flag.Int("imports", 2, "how often TestAnImportOfAHundredThousandIsBlockedAndUnblocked imports its list")

const aHundredThousand = 100_000

// CrowdSec 1.7.8 stores an import in one transaction, and 1.4.6 in many small ones. A poll misses decisions of a transaction
// that has not ended.
func TestAnImportOfAHundredThousandIsBlockedAndUnblocked(t *testing.T) {
	older := older
	older.profiles = current.profiles // with its own profiles, an alert would carry everything
	for _, release := range []Release{current, older} {
		t.Run("crowdsec-"+release.Version, func(t *testing.T) {
			t.Parallel()
			busy := true
			for try := 1; busy && try <= 20; try++ {
				busy = false
				t.Run("try", func(t *testing.T) { busy = importRepeatedly(t, release) })
			}
			if busy {
				t.Errorf("cscli %s could not import them", release.Version)
			}
		})
	}
}

// importRepeatedly reports whether CrowdSec was too busy to import the list. Another try needs a new environment, because
// this one may have some of the decisions already.
func importRepeatedly(t *testing.T, release Release) (busy bool) {
	env := newEnvironment(t, Combination{CrowdSec: release, Access: overSSH})
	env.follow(t)
	file, values := bansToImport(t, aHundredThousand)
	for n := range *imports {
		if env.importAll(t, file) {
			return true
		}
		env.unbanOne(t, values[aHundredThousand/2+n], "", 30*time.Second) // the plugin may be reading everything
		env.unbanAll(t)
		if release.Version != current.Version {
			break // each import of 1.4.6 may need many tries
		}
	}

	// After an import that failed and was tried again, CrowdSec has some decisions twice.
	for range 2 {
		_ = env.CrowdSec.busyCscli(t, "decisions", "import", "-i", file)
	}
	waitFor(t, 2*time.Minute, "the first is blocked", func() (bool, string) {
		_, blocked := env.Appliance.Blocked(t, prefix(values[0]))
		return blocked, "it is not"
	})
	env.unbanOne(t, values[0], ", imported twice,", 30*time.Second) // the plugin still reads the second import
	env.endAllBans(t, 3*time.Minute)
	env.waitUntilFilesAreClean(t)
	env.checkCleanup(t)
	return false
}

// importAll imports the list, and reports whether CrowdSec was too busy for it.
func (env *Environment) importAll(t *testing.T, file string) (busy bool) {
	t.Helper()
	start := time.Now()
	if env.CrowdSec.busyCscli(t, "decisions", "import", "-i", file) {
		return true
	}
	t.Logf("MEASURED cscli imported %d: %s", aHundredThousand, time.Since(start).Round(time.Millisecond))
	limit := 45 * time.Second // two reads and a flush, on a slow machine
	if env.CrowdSec.release.Version != current.Version {
		limit += 75 * time.Second // a full read follows after a minute
	}
	checkWithin(t, limit, "all imported and blocked", env.waitUntilBlocks(t, aHundredThousand, 11*time.Minute))
	return false
}

// unbanOne deletes the decisions on one address, and waits until the appliance has unblocked it.
func (env *Environment) unbanOne(t *testing.T, value, how string, limit time.Duration) {
	t.Helper()
	env.Plugin.waitUntilIdle(t)
	env.CrowdSec.mustCscli(t, "decisions", "delete", "-i", value)
	checkWithin(t, limit, value+how+" deleted and unblocked", env.waitUntilUnblocked(t, value))
}

// unbanAll deletes all decisions, and waits until the appliance blocks nothing.
func (env *Environment) unbanAll(t *testing.T) {
	t.Helper()
	const (
		flushed = "msg=flushed"
		changed = `msg="read the Local API" `
	)
	env.Plugin.waitUntilIdle(t)
	start, flushes, reads := time.Now(), env.CrowdSec.logged(flushed), env.CrowdSec.logged(changed)
	env.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
	t.Logf("MEASURED cscli deleted all: %s", time.Since(start).Round(time.Millisecond))
	t.Logf("MEASURED all unblocked after that: %s", env.waitUntilBlocks(t, 0, 3*time.Minute).Round(time.Millisecond))
	env.Plugin.waitUntilIdle(t)
	waitFor(t, 10*time.Second, "the flush is logged", func() (bool, string) { return env.CrowdSec.logged(flushed) > flushes, "it is not" })
	// CrowdSec deletes in several steps, and a read may be between two of them.
	flushes, reads = env.CrowdSec.logged(flushed)-flushes, env.CrowdSec.logged(changed)-reads
	t.Logf("MEASURED flushes for %d reads with changes: %d", reads, flushes)
	if flushes > reads {
		t.Errorf("%d flushes for %d reads with changes", flushes, reads)
	}
	env.waitUntilFilesAreClean(t)
}
