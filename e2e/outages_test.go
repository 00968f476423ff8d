package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The suite runs the short form. README.md has the long one.
var (
	roundCount = flag.Int("rounds", 6, "how many outages TestTheBlacklistMatchesCrowdSecAfterEachOutage causes")
	away       = flag.Duration("away", 5*time.Second, "how long the Local API cannot be reached in one kind of outage")
	seed       = flag.Uint64("seed", uint64(time.Now().UnixNano()), "the seed of the order of the outages")
)

// This test causes outages in random order. It changes decisions at random before, during and after each one, and then waits
// until the blacklist matches the decisions in force at CrowdSec.
func TestTheBlacklistMatchesCrowdSecAfterEachOutage(t *testing.T) {
	t.Parallel() // it mostly waits
	t.Logf("-seed %d", *seed)
	for _, c := range []Combination{{current, overSSH}, {current, withoutSSH}, {older, overSSH}} {
		t.Run("crowdsec-"+c.CrowdSec.Version+"-"+c.Access.Name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t, c)
			r := &rounds{Environment: env, link: newLink(t, strings.TrimPrefix(env.CrowdSec.url(), "http://")), random: rand.New(rand.NewPCG(*seed, 0))}
			env.followAt(t, env.CrowdSec, r.link.url())
			for n := range *roundCount {
				r.round(t, n)
			}
			env.endAllBans(t, convergesWithin)
			env.checkCleanup(t)
		})
	}
}

// convergesWithin leaves time for two full reads. With 1.4.6 they may be necessary: an alert and a deletion have no ID in
// common, so the plugin cannot find the deleted decision if it knows only the alert.
const convergesWithin = 4 * time.Minute

// rounds is an environment with outages.
type rounds struct {
	*Environment
	link   *link // between the plugin and the Local API
	random *rand.Rand
	left   []outage // the outages that have not happened in this turn; each happens once in a turn
}

// outage stops a program or the link, and starts it again. In between it calls meanwhile, if CrowdSec runs then.
type outage struct {
	name string
	do   func(r *rounds, t *testing.T, meanwhile func())
}

var outages = []outage{
	{"CrowdSec is killed", func(r *rounds, t *testing.T, _ func()) {
		r.CrowdSec.signal(t, syscall.SIGKILL)
		r.CrowdSec.kill()
		r.Plugin.waitUntilGone(t)
		r.CrowdSec.Start(t)
	}},
	{"CrowdSec is stopped", func(r *rounds, t *testing.T, _ func()) {
		r.CrowdSec.Stop(t)
		r.Plugin.waitUntilGone(t)
		r.CrowdSec.Start(t)
	}},
	{"the Local API is away", func(r *rounds, _ *testing.T, meanwhile func()) {
		r.link.cut()
		meanwhile()
		time.Sleep(*away)
		r.link.restore()
	}},
	{"the Local API is cut off for a moment", func(r *rounds, _ *testing.T, meanwhile func()) {
		meanwhile()
		for range 20 {
			time.Sleep(time.Duration(r.random.IntN(200)) * time.Millisecond)
			r.link.cut()
			r.link.restore()
		}
	}},
	{"the plugin is killed", func(r *rounds, t *testing.T, meanwhile func()) {
		killAll(r.Plugin.binary)
		meanwhile()
		r.reload(t)
	}},
	{"CrowdSec is reloaded", func(r *rounds, t *testing.T, meanwhile func()) {
		meanwhile()
		r.reload(t)
	}},
}

// reload reloads CrowdSec after it has sent its alerts. Otherwise 1.4.6 may panic (pushNotificationsToPlugin), and 1.7.8 may
// end the new plugin together with the old one (PluginBroker.Kill).
func (r *rounds) reload(t *testing.T) {
	t.Helper()
	time.Sleep(2 * time.Second)
	r.CrowdSec.Reload(t)
}

func (r *rounds) round(t *testing.T, n int) {
	t.Helper()
	if len(r.left) == 0 {
		r.left = slices.Clone(outages)
		r.random.Shuffle(len(r.left), func(i, j int) { r.left[i], r.left[j] = r.left[j], r.left[i] })
	}
	o := r.left[0]
	r.left = r.left[1:]
	r.change(t)
	o.do(r, t, func() { r.change(t) })
	r.change(t)
	var wrong string
	took := waitForEvery(t, 300*time.Millisecond, convergesWithin, fmt.Sprintf("round %d, %s: the blacklist matches CrowdSec", n, o.name), func() (bool, string) {
		wrong = r.differs(t)
		return wrong == "", wrong
	})
	t.Logf("MEASURED round %d, %s: the blacklist matches after %s, with %d bans", n, o.name, took.Round(time.Millisecond), len(r.Appliance.Blacklist(t)))
}

// differs returns the differences between the blacklist and the decisions that the configuration enforces.
func (r *rounds) differs(t *testing.T) string {
	t.Helper()
	all, err := r.CrowdSec.decisions(t.Context())
	if err != nil { // 1.4.6 does not wait for its database
		return err.Error()
	}
	want := map[netip.Prefix]bool{}
	for _, d := range all {
		if p := prefix(d.Value); d.Type == "ban" && p.Addr().As16()[12] != 10 && (r.Plugin.usesSSH() || p.IsSingleIP()) { // 10.0.0.0/8 is never blocked
			want[p] = true
		}
	}
	got := r.Appliance.Blacklist(t)
	var wrong []string
	for p := range want {
		if _, blocked := got[p]; !blocked {
			wrong = append(wrong, p.String()+" is not blocked")
		}
	}
	for p := range got {
		if !want[p] {
			wrong = append(wrong, p.String()+" is blocked")
		}
	}
	slices.Sort(wrong)
	if more := len(wrong) - 10; more > 0 {
		wrong = append(wrong[:10], fmt.Sprintf("%d more", more))
	}
	return strings.Join(wrong, ", ")
}

// change adds and deletes a few decisions.
func (r *rounds) change(t *testing.T) {
	t.Helper()
	for range 1 + r.random.IntN(4) {
		switch kind := r.random.IntN(20); {
		case kind < 6:
			r.CrowdSec.mustCscli(t, "decisions", "add", "-i", r.address(), "-d", r.duration())
		case kind < 8:
			r.CrowdSec.mustCscli(t, "decisions", "add", "-r", fmt.Sprintf("198.51.100.%d/28", r.random.IntN(8)*16), "-d", r.duration())
		case kind < 9:
			r.CrowdSec.mustCscli(t, "decisions", "add", "-i", r.address(), "-d", r.duration(), "-t", "captcha")
		case kind < 10:
			r.CrowdSec.mustCscli(t, "decisions", "add", "-i", "10.1.2.3", "-d", r.duration()) // never_block
		case kind < 14:
			r.importSome(t)
		case kind < 17:
			r.CrowdSec.mustCscli(t, "decisions", "delete", "-i", r.address())
		case kind < 19:
			if all, err := r.CrowdSec.decisions(t.Context()); err == nil && len(all) > 0 {
				r.CrowdSec.mustCscli(t, "decisions", "delete", "--id", strconv.Itoa(all[r.random.IntN(len(all))].ID))
			}
		case r.random.IntN(3) == 0:
			r.CrowdSec.mustCscli(t, "decisions", "delete", "--all")
		}
	}
}

// address returns one of few addresses, so that several decisions are on the same one.
func (r *rounds) address() string {
	if n := r.random.IntN(40); n < 30 {
		return fmt.Sprintf("198.18.0.%d", n)
	}
	return fmt.Sprintf("2001:db8::%d", r.random.IntN(5))
}

func (r *rounds) duration() string {
	return []string{"5s", "20s", "1h", "3h"}[r.random.IntN(4)]
}

// importSome imports decisions. With CrowdSec's own profiles, an import makes no alert for the plugin.
func (r *rounds) importSome(t *testing.T) {
	t.Helper()
	values := map[string]bool{}
	for range 1 + r.random.IntN(80) {
		values[r.address()] = true
	}
	var all []map[string]string
	for _, value := range slices.Sorted(maps.Keys(values)) {
		all = append(all, map[string]string{"duration": r.duration(), "scope": "ip", "value": value})
	}
	r.CrowdSec.mustCscli(t, "decisions", "import", "-i", decisionsFile(t, all))
}

// decisionsFile writes a file that cscli can import.
func decisionsFile(t testing.TB, all []map[string]string) string {
	t.Helper()
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "decisions.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// listedDecision is a decision in force.
type listedDecision struct {
	ID       int
	Alert    int // the ID of its alert
	Type     string
	Value    string
	Duration string // the remaining time
}

// decisions returns the decisions in force, from the source of `cscli decisions list --all`. Of several decisions on one
// address cscli shows only the newest, even if it has ended.
func (c *CrowdSec) decisions(ctx context.Context) (all []listedDecision, err error) {
	token, err := c.logIn(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := c.ask(ctx, http.MethodGet, "/v1/alerts?has_active_decision=true&include_capi=true&limit=0", token, nil)
	if err != nil {
		return nil, err
	}
	var alerts []struct {
		ID        int
		Decisions []listedDecision
	}
	if err := json.Unmarshal(answer, &alerts); err != nil {
		return nil, fmt.Errorf("the Local API's alerts: %w: %s", err, answer)
	}
	for _, a := range alerts {
		for _, d := range a.Decisions {
			if d.Alert = a.ID; !strings.HasPrefix(d.Duration, "-") {
				all = append(all, d)
			}
		}
	}
	return all, nil
}
