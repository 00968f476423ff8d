package e2e

import (
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"
)

// resyncEvery is lapi.resync_every of these tests, and confirmAfter is when the second full read follows that a decision needs to end
// without a deletion.
const (
	resyncEvery  = time.Minute
	confirmAfter = time.Minute
)

// `cscli alerts delete` deletes decisions with their alert, and no poll lists them as deleted.
func TestDecisionsThatGoWithTheirAlertEndWithinTwoFullReads(t *testing.T) {
	meanwhile(t, []Release{current, older}, func(t *testing.T, w *World) {
		w.Plugin.values["LAPIResync"] = resyncEvery
		w.follow(t)
		const alerted, stays = "203.0.113.90", "203.0.113.91"
		w.CrowdSec.mustCscli(t, "decisions", "add", "-i", stays, "-d", "3h")
		w.CrowdSec.mustCscli(t, "decisions", "add", "-i", alerted, "-d", "3h")
		file, values := bansToImport(t, 100)
		w.CrowdSec.mustCscli(t, "decisions", "import", "-i", file)
		w.waitUntilBlocks(t, len(values)+2, 2*time.Minute)
		stayedBlocked := w.guardBans(t, stays)

		for id := range w.CrowdSec.alertsExcept(t, stays) {
			w.CrowdSec.mustCscli(t, "alerts", "delete", "--id", strconv.Itoa(id))
		}
		took := w.waitUntilBlocks(t, 1, 4*time.Minute)
		within(t, resyncEvery+confirmAfter+2*readEvery+30*time.Second, "alerts deleted, and their decisions off", took)
		stayedBlocked()
		w.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
		w.waitUntilBlocks(t, 0, 30*time.Second)
	})
}

// alertsExcept returns the numbers of the alerts that have decisions in force, less those on one address.
func (c *CrowdSec) alertsExcept(t testing.TB, value string) map[int]bool {
	t.Helper()
	all, err := c.decisions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	alerts := map[int]bool{}
	for _, d := range all {
		if d.Value != value {
			alerts[d.Alert] = true
		}
	}
	return alerts
}

// Allowlists came with CrowdSec 1.6.8.
func TestAnAllowlistEndsTheBansThatItCovers(t *testing.T) {
	every(t, []Release{current}, shells[:1], func(t *testing.T, w *World) {
		w.follow(t)
		const alerted = "198.18.0.200" // covered, and not among those that are imported
		file, values := bansToImport(t, 100)
		w.CrowdSec.mustCscli(t, "decisions", "import", "-i", file)
		w.CrowdSec.mustCscli(t, "decisions", "add", "-i", alerted, "-d", "3h")
		w.CrowdSec.mustCscli(t, "decisions", "add", "-r", "198.51.100.0/24", "-d", "3h")
		w.waitUntilBlocks(t, len(values)+2, 30*time.Second)

		w.CrowdSec.mustCscli(t, "allowlists", "create", "friends", "-d", "of the e2e suite")
		covered := []string{values[3], alerted, "198.18.0.64/27", "198.51.100.7"} // the last opens the range around it
		stays := slices.DeleteFunc(slices.Clone(values), func(value string) bool {
			return value == values[3] || prefix("198.18.0.64/27").Contains(prefix(value).Addr())
		})
		w.CrowdSec.mustCscli(t, append([]string{"allowlists", "add", "friends"}, covered...)...)
		took := w.waitUntilBlocks(t, len(stays), 30*time.Second)
		within(t, 2*(readEvery+2*time.Second), "allowlist added, and the bans off that it covers", took)
		want := map[string]bool{}
		for _, value := range stays {
			want[prefix(value).String()] = true
		}
		for p := range w.Appliance.Blacklist(t) {
			if !want[p.String()] {
				t.Errorf("%s is blocked, the allowlist covers %v", p, covered)
			}
			delete(want, p.String())
		}
		if len(want) > 0 {
			t.Errorf("not blocked, and not covered: %v", slices.Sorted(maps.Keys(want)))
		}
		w.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
		w.waitUntilBlocks(t, 0, 30*time.Second)
	})
}
