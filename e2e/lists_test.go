package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// readEvery is the time between two polls of the Local API: update_frequency of the tests.
const readEvery = 2 * time.Second

// metricsRow is the row of `cscli metrics show bouncers` for 999 imported bans: origin, active_decisions, left_out.
var metricsRow = regexp.MustCompile(`(?m)^\| *cscli-import *\| *999 *\| *- *\|$`)

// follow makes the plugin follow the Local API of its own CrowdSec.
func (env *Environment) follow(t testing.TB) {
	t.Helper()
	env.followAt(t, env.CrowdSec, env.CrowdSec.url())
}

// followAt makes a key at a CrowdSec, configures the plugin with it and a URL, and reloads the plugin.
func (env *Environment) followAt(t testing.TB, c *CrowdSec, url string) {
	t.Helper()
	c.addBouncer(t)
	env.Plugin.values["LAPIURL"], env.Plugin.values["LAPIKey"] = url, bouncerKey
	env.Plugin.configure(t)
	env.CrowdSec.Reload(t)
	env.Plugin.waitUntilActive(t)
	waitFor(t, 10*time.Second, "the plugin reads the Local API", func() (bool, string) {
		l := env.Plugin.localAPI(t)
		return l.LastRead != nil, l.Error
	})
}

// localAPIStatus is the part of status about the Local API.
type localAPIStatus struct {
	LastRead    *time.Time `json:"last_read"`
	UnreadSince *time.Time `json:"unread_since"`
	Error       string
}

// localAPI returns the state of the Local API from `status`.
func (p *Plugin) localAPI(t testing.TB) localAPIStatus {
	t.Helper()
	var answer struct {
		LocalAPI localAPIStatus `json:"local_api"`
	}
	if out, err := p.readStatus(t, &answer); err != nil {
		return localAPIStatus{Error: out}
	}
	return answer.LocalAPI
}

// readStatus reads the answer of `status`, and returns it as text too.
func (p *Plugin) readStatus(t testing.TB, answer any) (string, error) {
	t.Helper()
	out, _ := p.command(t.Context(), "status", "--json").Output() // it fails while the plugin does not work
	return string(out), json.Unmarshal(out, answer)
}

// bansToImport writes a file with bans of n addresses for cscli, and returns the addresses.
func bansToImport(t testing.TB, n int) (file string, values []string) {
	t.Helper()
	var all []map[string]string
	for i := range n {
		value := fmt.Sprintf("198.%d.%d.%d", 18+i>>16, i>>8&255, i&255) // for benchmarks, RFC 2544
		values = append(values, value)
		all = append(all, map[string]string{"duration": "4h", "scope": "ip", "value": value})
	}
	return decisionsFile(t, all), values
}

// waitUntilBlocks waits until the appliance blocks exactly n prefixes, and returns how long that took.
func (env *Environment) waitUntilBlocks(t testing.TB, n int, limit time.Duration) time.Duration {
	t.Helper()
	return waitForEvery(t, 100*time.Millisecond, limit, fmt.Sprintf("the appliance blocks %d", n), func() (bool, string) {
		now := len(env.Appliance.Blacklist(t))
		return now == n, fmt.Sprintf("it blocks %d", now)
	})
}

// importBans imports bans of n addresses, and returns the addresses.
func (env *Environment) importBans(t testing.TB, n int) (values []string) {
	t.Helper()
	file, values := bansToImport(t, n)
	env.CrowdSec.mustCscli(t, "decisions", "import", "-i", file)
	return values
}

// endAllBans deletes all decisions, and waits until the appliance blocks nothing.
func (env *Environment) endAllBans(t testing.TB, limit time.Duration) {
	t.Helper()
	env.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
	env.waitUntilBlocks(t, 0, limit)
}

// waitUntilUnblocked waits until an address is not on the blacklist, and returns how long that took.
func (env *Environment) waitUntilUnblocked(t testing.TB, value string) time.Duration {
	t.Helper()
	return waitFor(t, time.Minute, value+" is unblocked", func() (bool, string) {
		_, blocked := env.Appliance.Blocked(t, prefix(value))
		return !blocked, "it is blocked"
	})
}

// waitUntilUnread waits until status reports that the Local API cannot be read, and returns the reason.
func (p *Plugin) waitUntilUnread(t testing.TB) (reason string) {
	t.Helper()
	waitFor(t, 3*time.Minute, "status reports that the Local API cannot be read", func() (bool, string) {
		l := p.localAPI(t)
		reason = l.Error
		return l.UnreadSince != nil, fmt.Sprint(l)
	})
	return reason
}

// waitUntilIdle waits until nothing is pending.
func (p *Plugin) waitUntilIdle(t testing.TB) {
	t.Helper()
	waitFor(t, time.Minute, "nothing is pending", func() (bool, string) {
		out, err := p.Command(t, "status")
		return err == nil && strings.Contains(out, "nothing\n"), out
	})
}

func TestDecisionsOfTheLocalAPIAreBlockedAndUnblocked(t *testing.T) {
	forEachCombination(t, func(t *testing.T, env *Environment) {
		env.follow(t)
		env.checkCommandPrints(t, "check", "Local API")

		// With CrowdSec's own profiles, an import makes no alert for the plugin.
		values := env.importBans(t, 1000)
		t.Logf("MEASURED 1000 imported are blocked after %s", env.waitUntilBlocks(t, len(values), 30*time.Second).Round(time.Millisecond))

		// Delete an imported decision and one of an alert.
		const alerted = "203.0.113.88"
		env.waitUntilEnforced(t, alerted, env.CrowdSec.Ban(t, "--ip", alerted, time.Hour), readEvery+enforcedWithin)
		for _, value := range []string{values[7], alerted} {
			env.CrowdSec.mustCscli(t, "decisions", "delete", "-i", value)
			checkWithin(t, readEvery+2*time.Second, value+" deleted and unblocked", env.waitUntilUnblocked(t, value))
		}

		// A restart of the Local API ends nothing.
		stayedBlocked := env.guardBans(t, values[1], values[999])
		env.CrowdSec.Reload(t)
		env.Plugin.waitUntilActive(t)
		env.waitUntilBlocks(t, len(values)-1, 30*time.Second)
		stayedBlocked()
		if env.CrowdSec.release == current { // usage metrics came with 1.6.3
			waitFor(t, 10*time.Second, "CrowdSec shows the metrics of the plugin", func() (bool, string) {
				out, err := env.CrowdSec.Cscli(t, "metrics", "show", "bouncers")
				return err == nil && strings.Contains(out, "Bouncer Metrics (stormshield)") && metricsRow.FindString(out) != "", out
			})
		}

		env.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
		t.Logf("MEASURED all deleted and unblocked after %s", env.waitUntilBlocks(t, 0, 30*time.Second).Round(time.Millisecond))
		env.waitUntilFilesAreClean(t)
	})
}

// idsByDuration returns the IDs of the decisions in force for each value, the shortest first.
func (c *CrowdSec) idsByDuration(t testing.TB) map[string][]int {
	t.Helper()
	all, err := c.decisions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b listedDecision) int { return cmp.Compare(a.left(t), b.left(t)) })
	ids := map[string][]int{}
	for _, d := range all {
		ids[d.Value] = append(ids[d.Value], d.ID)
	}
	return ids
}

func (d listedDecision) left(t testing.TB) time.Duration {
	t.Helper()
	left, err := time.ParseDuration(d.Duration)
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// When one of several decisions on an address ends, the Local API may report any of them.
func TestABanStaysUntilAllItsDecisionsEnd(t *testing.T) {
	inParallel(t, []Release{current, older}, func(t *testing.T, env *Environment) {
		env.follow(t)
		var all []map[string]string
		flag := map[string]string{"ip": "-i", "range": "-r"}
		values := map[string]string{"203.0.113.7": "ip", "198.51.100.0/24": "range", "2001:db8::7": "ip", "2001:db8:7::/48": "range"}
		for value, scope := range values {
			for _, duration := range []string{"1h", "3h", "2h"} {
				all = append(all, map[string]string{"duration": duration, "scope": scope, "value": value})
			}
		}
		env.CrowdSec.mustCscli(t, "decisions", "import", "-i", decisionsFile(t, all))
		env.waitUntilBlocks(t, len(values), 30*time.Second)
		standing := env.CrowdSec.idsByDuration(t)
		for value, scope := range values { // the plugin looks up a sample in this way
			answer, err := env.CrowdSec.ask(t.Context(), http.MethodGet, "/v1/decisions?"+scope+"="+url.QueryEscape(value), "", nil)
			if err != nil || !strings.Contains(string(answer), fmt.Sprintf(`"id":%d,`, standing[value][0])) {
				t.Errorf("the Local API does not return the decisions on %s: %s, %v", value, answer, err)
			}
		}
		stayedBlocked := env.guardBans(t, slices.Collect(maps.Keys(values))...)
		for _, which := range []int{2, 0} { // the longest, and the shortest of those that remain
			for value := range values {
				env.CrowdSec.mustCscli(t, "decisions", "delete", "--id", strconv.Itoa(standing[value][which]))
			}
			time.Sleep(2*readEvery + 2*time.Second)
		}
		stayedBlocked()

		// New decisions follow shortly before or after a poll that reports the deletions.
		again := decisionsFile(t, all)
		for range 3 {
			for value, scope := range values {
				env.CrowdSec.mustCscli(t, "decisions", "import", "-i", again)
				env.CrowdSec.mustCscli(t, "decisions", "delete", flag[scope], value)
			}
			env.CrowdSec.mustCscli(t, "decisions", "import", "-i", again)
			env.waitUntilBlocks(t, len(values), 20*time.Second)
		}
		if env.CrowdSec.release.Version != current.Version {
			time.Sleep(readEvery + time.Second) // if no poll has listed a decision, its deletion takes two full reads
		}
		for value, scope := range values {
			env.CrowdSec.mustCscli(t, "decisions", "delete", flag[scope], value)
		}
		checkWithin(t, readEvery+2*time.Second, "all decisions deleted and unblocked", env.waitUntilBlocks(t, 0, 20*time.Second))
	})
}
