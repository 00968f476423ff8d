package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// readEvery is how often the plugin asks the Local API: update_frequency of the stories.
const readEvery = 2 * time.Second

// metricsRow is what `cscli metrics show bouncers` shows of the 999 bans that were imported: origin, active_decisions,
// left_out.
var metricsRow = regexp.MustCompile(`(?m)^\| *cscli-import *\| *999 *\| *- *\|$`)

// follow has the plugin follow the Local API of the CrowdSec that runs it.
func (w *World) follow(t testing.TB) {
	t.Helper()
	w.followAt(t, w.CrowdSec, w.CrowdSec.url())
}

// followAt makes a bouncer's key at a CrowdSec, gives it and an address to the plugin, and reloads the plugin.
func (w *World) followAt(t testing.TB, c *CrowdSec, url string) {
	t.Helper()
	c.addBouncer(t)
	w.Plugin.values["LAPIURL"], w.Plugin.values["LAPIKey"] = url, bouncerKey
	w.Plugin.configure(t)
	w.CrowdSec.Reload(t)
	w.Plugin.waitUntilActive(t)
	waitFor(t, 10*time.Second, "the plugin reads the Local API", func() (bool, string) {
		l := w.Plugin.localAPI(t)
		return l.LastRead != nil, l.Error
	})
}

// localAPIStatus is what status says about the Local API.
type localAPIStatus struct {
	LastRead    *time.Time `json:"last_read"`
	UnreadSince *time.Time `json:"unread_since"`
	Error       string
}

// localAPI asks the plugin how it gets on with the Local API.
func (p *Plugin) localAPI(t testing.TB) localAPIStatus {
	t.Helper()
	out, _ := exec.CommandContext(t.Context(), p.binary, "status", "--json", "-c", p.config).Output() // it fails where the plugin does not work
	var answer struct {
		LocalAPI localAPIStatus `json:"local_api"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return localAPIStatus{Error: string(out)}
	}
	return answer.LocalAPI
}

// bansToImport returns bans of so many addresses for cscli to import, and the addresses.
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

// waitUntilBlocks waits until the appliance blocks exactly so many, and returns how long that took.
func (w *World) waitUntilBlocks(t testing.TB, n int, limit time.Duration) time.Duration {
	t.Helper()
	return waitForEvery(t, 100*time.Millisecond, limit, fmt.Sprintf("the appliance blocks %d", n), func() (bool, string) {
		now := len(w.Appliance.Blacklist(t))
		return now == n, fmt.Sprintf("it blocks %d", now)
	})
}

// waitUntilIdle waits until nothing is owed to the appliance.
func (p *Plugin) waitUntilIdle(t testing.TB) {
	t.Helper()
	waitFor(t, time.Minute, "nothing is owed", func() (bool, string) {
		out, err := p.Command(t, "status")
		return err == nil && strings.Contains(out, "nothing\n"), out
	})
}

func TestWhatTheLocalAPIListsIsEnforcedAndUnbannedInStep(t *testing.T) {
	everyCombination(t, func(t *testing.T, w *World) {
		w.follow(t)
		w.says(t, "check", "Local API")

		// No alert brings these under CrowdSec's own profiles.
		file, values := bansToImport(t, 1000)
		w.CrowdSec.mustCscli(t, "decisions", "import", "-i", file)
		t.Logf("MEASURED 1000 imported are blocked after %s", w.waitUntilBlocks(t, len(values), 30*time.Second).Round(time.Millisecond))

		// Some end before their time: one that was imported, and one of an alert.
		const alerted = "203.0.113.88"
		w.waitUntilEnforced(t, alerted, w.CrowdSec.Ban(t, "--ip", alerted, time.Hour), readEvery+enforcedWithin)
		for _, value := range []string{values[7], alerted} {
			w.CrowdSec.mustCscli(t, "decisions", "delete", "-i", value)
			deleted := time.Now()
			waitFor(t, 20*time.Second, value+" is off", func() (bool, string) {
				_, blocked := w.Appliance.Blocked(t, prefix(value))
				return !blocked, "it is blocked"
			})
			within(t, readEvery+2*time.Second, value+" deleted and off", time.Since(deleted))
		}

		// A restart of the Local API ends nothing.
		stayedBlocked := w.guardBans(t, values[1], values[999])
		w.CrowdSec.Reload(t)
		w.Plugin.waitUntilActive(t)
		w.waitUntilBlocks(t, len(values)-1, 30*time.Second)
		stayedBlocked()
		if w.CrowdSec.release == current { // usage metrics came with 1.6.3
			waitFor(t, 10*time.Second, "CrowdSec shows what is enforced", func() (bool, string) {
				out, err := w.CrowdSec.Cscli(t, "metrics", "show", "bouncers")
				return err == nil && strings.Contains(out, "Bouncer Metrics (stormshield)") && metricsRow.FindString(out) != "", out
			})
		}

		w.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
		t.Logf("MEASURED all deleted and off after %s", w.waitUntilBlocks(t, 0, 30*time.Second).Round(time.Millisecond))
		w.waitUntilTidy(t)
	})
}

// byLength returns the numbers of the decisions in force by their value, the shortest first.
func (c *CrowdSec) byLength(t testing.TB) map[string][]int {
	t.Helper()
	all, err := c.decisions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b listedDecision) int { return cmp.Compare(a.left(t), b.left(t)) })
	numbers := map[string][]int{}
	for _, d := range all {
		numbers[d.Value] = append(numbers[d.Value], d.ID)
	}
	return numbers
}

func (d listedDecision) left(t testing.TB) time.Duration {
	t.Helper()
	left, err := time.ParseDuration(d.Duration)
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// Of several decisions on an address, the Local API may name any when one is over.
func TestABanBySeveralDecisionsStandsUntilAllAreOver(t *testing.T) {
	everyRelease(t, func(t *testing.T, w *World) {
		w.follow(t)
		var all []map[string]string
		flag := map[string]string{"ip": "-i", "range": "-r"}
		values := map[string]string{"203.0.113.7": "ip", "198.51.100.0/24": "range", "2001:db8::7": "ip", "2001:db8:7::/48": "range"}
		for value, scope := range values {
			for _, duration := range []string{"1h", "3h", "2h"} {
				all = append(all, map[string]string{"duration": duration, "scope": scope, "value": value})
			}
		}
		w.CrowdSec.mustCscli(t, "decisions", "import", "-i", decisionsFile(t, all))
		w.waitUntilBlocks(t, len(values), 30*time.Second)
		standing := w.CrowdSec.byLength(t)
		for value, scope := range values { // as the plugin looks up a sample
			answer, err := w.CrowdSec.ask(t.Context(), http.MethodGet, "/v1/decisions?"+scope+"="+url.QueryEscape(value), "", nil)
			if err != nil || !strings.Contains(string(answer), fmt.Sprintf(`"id":%d,`, standing[value][0])) {
				t.Errorf("the Local API does not know what is on %s: %s, %v", value, answer, err)
			}
		}
		stayedBlocked := w.guardBans(t, slices.Collect(maps.Keys(values))...)
		for _, which := range []int{2, 0} { // the longest, and the shortest of those that remain
			for value := range values {
				w.CrowdSec.mustCscli(t, "decisions", "delete", "--id", strconv.Itoa(standing[value][which]))
			}
			time.Sleep(2*readEvery + 2*time.Second)
		}
		stayedBlocked()

		// They are listed anew when what is over has just been told, or is about to be.
		again := decisionsFile(t, all)
		for range 3 {
			for value, scope := range values {
				w.CrowdSec.mustCscli(t, "decisions", "import", "-i", again)
				w.CrowdSec.mustCscli(t, "decisions", "delete", flag[scope], value)
			}
			w.CrowdSec.mustCscli(t, "decisions", "import", "-i", again)
			w.waitUntilBlocks(t, len(values), 20*time.Second)
		}
		if w.CrowdSec.release.Version != current.Version {
			time.Sleep(readEvery + time.Second) // where no poll has listed a decision, its deletion takes two full reads
		}
		for value, scope := range values {
			w.CrowdSec.mustCscli(t, "decisions", "delete", flag[scope], value)
		}
		within(t, readEvery+2*time.Second, "all decisions deleted and off", w.waitUntilBlocks(t, 0, 20*time.Second))
	})
}
