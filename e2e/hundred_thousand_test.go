package e2e

import (
	"flag"
	"testing"
	"time"
)

// The short form runs with the rest of the suite; README.md has the long one.
var imports = flag.Int("imports", 2, "how often TestAHundredThousandThatNoAlertBringsAreEnforcedAndUnbanned imports its list")

const aHundredThousand = 100_000

// CrowdSec 1.7.8 stores an import in one transaction, and 1.4.6 in many small ones. A poll misses the decisions that are being stored.
func TestAHundredThousandThatNoAlertBringsAreEnforcedAndUnbanned(t *testing.T) {
	older := older
	older.profiles = current.profiles // under its own, everything would come by alert
	for _, release := range []Release{current, older} {
		busy := true
		for try := 1; busy && try <= 20; try++ {
			busy = false
			t.Run("crowdsec-"+release.Version, func(t *testing.T) { busy = importRepeatedly(t, release) })
		}
		if busy {
			t.Errorf("cscli %s could not import them", release.Version)
		}
	}
}

// importRepeatedly reports whether CrowdSec was too busy to import the list. To try again takes an environment of its own: here some
// decisions would be there twice then.
func importRepeatedly(t *testing.T, release Release) (busy bool) {
	w := newWorld(t, Combination{CrowdSec: release, LoginShell: "/bin/sh"})
	w.follow(t)
	file, values := bansToImport(t, aHundredThousand)
	for n := range *imports {
		if w.importAll(t, file) {
			return true
		}
		w.unbanOne(t, values[aHundredThousand/2+n], "", 30*time.Second) // the plugin may be reading everything
		w.unbanAll(t)
		if release.Version != current.Version {
			break // each import of 1.4.6 may need many tries
		}
	}

	// Whoever tries again what was broken off has the first of them twice.
	for range 2 {
		_ = w.CrowdSec.busyCscli(t, "decisions", "import", "-i", file)
	}
	waitFor(t, 2*time.Minute, "the first is blocked", func() (bool, string) {
		_, blocked := w.Appliance.Blocked(t, prefix(values[0]))
		return blocked, "it is not"
	})
	w.unbanOne(t, values[0], ", imported twice,", 30*time.Second) // the plugin still reads the second import
	w.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
	w.waitUntilBlocks(t, 0, 3*time.Minute)
	w.waitUntilTidy(t)
	w.leaveNoTrace(t)
	return false
}

// importAll imports the list, and reports whether CrowdSec was too busy for that.
func (w *World) importAll(t *testing.T, file string) (busy bool) {
	t.Helper()
	start := time.Now()
	if w.CrowdSec.busyCscli(t, "decisions", "import", "-i", file) {
		return true
	}
	t.Logf("MEASURED cscli imported %d: %s", aHundredThousand, time.Since(start).Round(time.Millisecond))
	limit := 45 * time.Second // two reads and a flush, on a slow machine
	if w.CrowdSec.release.Version != current.Version {
		limit += 75 * time.Second // a full read follows after a minute
	}
	within(t, limit, "all imported and blocked", w.waitUntilBlocks(t, aHundredThousand, 11*time.Minute))
	return false
}

// unbanOne deletes the decisions on one address, and waits until the appliance has unblocked it.
func (w *World) unbanOne(t *testing.T, gone, how string, limit time.Duration) {
	t.Helper()
	w.Plugin.waitUntilIdle(t)
	w.CrowdSec.mustCscli(t, "decisions", "delete", "-i", gone)
	took := waitFor(t, time.Minute, gone+" is off", func() (bool, string) {
		_, blocked := w.Appliance.Blocked(t, prefix(gone))
		return !blocked, "it is blocked"
	})
	within(t, limit, gone+how+" deleted and off", took)
}

// unbanAll deletes all decisions, and waits until the appliance blocks nothing.
func (w *World) unbanAll(t *testing.T) {
	t.Helper()
	const (
		flushed = "msg=flushed"
		changed = `msg="read the Local API" `
	)
	w.Plugin.waitUntilIdle(t)
	start, flushes, readings := time.Now(), w.CrowdSec.logged(flushed), w.CrowdSec.logged(changed)
	w.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
	t.Logf("MEASURED cscli deleted all: %s", time.Since(start).Round(time.Millisecond))
	t.Logf("MEASURED all off after that: %s", w.waitUntilBlocks(t, 0, 3*time.Minute).Round(time.Millisecond))
	w.Plugin.waitUntilIdle(t)
	waitFor(t, 10*time.Second, "the flush is logged", func() (bool, string) { return w.CrowdSec.logged(flushed) > flushes, "it is not" })
	// CrowdSec deletes step by step, and may be read between two steps.
	flushes, readings = w.CrowdSec.logged(flushed)-flushes, w.CrowdSec.logged(changed)-readings
	t.Logf("MEASURED flushes for what %d readings said: %d", readings, flushes)
	if flushes > readings {
		t.Errorf("%d flushes for what %d readings said", flushes, readings)
	}
	w.waitUntilTidy(t)
}
