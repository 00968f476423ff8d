package e2e

import (
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"
)

// resyncEvery is lapi.resync_every of these tests. confirmAfter is the time until the second full read, which a decision needs
// to end without a deletion.
const (
	resyncEvery  = time.Minute
	confirmAfter = time.Minute
)

// `cscli alerts delete` deletes decisions with their alert, and no poll reports these deletions.
func TestDecisionsOfADeletedAlertEndWithinTwoFullReads(t *testing.T) {
	inParallel(t, []Release{current, older}, func(t *testing.T, env *Environment) {
		env.Plugin.values["LAPIResync"] = resyncEvery
		env.follow(t)
		const alerted, stays = "203.0.113.90", "203.0.113.91"
		env.CrowdSec.mustCscli(t, "decisions", "add", "-i", stays, "-d", "3h")
		env.CrowdSec.mustCscli(t, "decisions", "add", "-i", alerted, "-d", "3h")
		values := env.importBans(t, 100)
		env.waitUntilBlocks(t, len(values)+2, 2*time.Minute)
		stayedBlocked := env.guardBans(t, stays)

		for id := range env.CrowdSec.alertsOfOthers(t, stays) {
			env.CrowdSec.mustCscli(t, "alerts", "delete", "--id", strconv.Itoa(id))
		}
		took := env.waitUntilBlocks(t, 1, 4*time.Minute)
		checkWithin(t, resyncEvery+confirmAfter+2*readEvery+30*time.Second, "alerts deleted, and their decisions unblocked", took)
		stayedBlocked()
		env.endAllBans(t, 30*time.Second)
	})
}

// alertsOfOthers returns the IDs of the alerts that have decisions in force, except for those on one address.
func (c *CrowdSec) alertsOfOthers(t testing.TB, value string) map[int]bool {
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
	forEach(t, []Release{current}, []Access{overSSH}, func(t *testing.T, env *Environment) {
		env.follow(t)
		const alerted = "198.18.0.200" // not in the import
		values := env.importBans(t, 100)
		env.CrowdSec.mustCscli(t, "decisions", "add", "-i", alerted, "-d", "3h")
		env.CrowdSec.mustCscli(t, "decisions", "add", "-r", "198.51.100.0/24", "-d", "3h")
		env.waitUntilBlocks(t, len(values)+2, 30*time.Second)

		env.CrowdSec.mustCscli(t, "allowlists", "create", "friends", "-d", "of the e2e suite")
		covered := []string{values[3], alerted, "198.18.0.64/27", "198.51.100.7"} // the last is in the banned range
		stays := slices.DeleteFunc(slices.Clone(values), func(value string) bool {
			return value == values[3] || prefix("198.18.0.64/27").Contains(prefix(value).Addr())
		})
		env.CrowdSec.mustCscli(t, append([]string{"allowlists", "add", "friends"}, covered...)...)
		took := env.waitUntilBlocks(t, len(stays), 30*time.Second)
		checkWithin(t, 2*(readEvery+2*time.Second), "allowlist added, and the covered bans unblocked", took)
		want := map[string]bool{}
		for _, value := range stays {
			want[prefix(value).String()] = true
		}
		for p := range env.Appliance.Blacklist(t) {
			if !want[p.String()] {
				t.Errorf("%s is blocked, the allowlist covers %v", p, covered)
			}
			delete(want, p.String())
		}
		if len(want) > 0 {
			t.Errorf("not blocked, and not covered: %v", slices.Sorted(maps.Keys(want)))
		}
		env.endAllBans(t, 30*time.Second)
	})
}
