// Package torture looks for lost bans, lost lines of the administrator and lost
// access under trouble: faults of the link and of the appliance, crashes,
// damaged state, hostile input. It runs the real plugin binary against the
// simulated appliance.
//
// Each scenario is a test, and each of its tries a test named after its seed.
// A seed draws the moments and choices of a try. A test fails when something is
// lost, and in the end [Run] prints a table with one line per scenario.
// It needs root: the plugin runs as nobody, as under CrowdSec, and disks get full.
//
//	go test -tags torture ./torture -v -plugin "$PWD/bin/notification-stormshield" [-short] [-run 'Torture/the link'] [-seed N] [-tries N]
package torture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// scenario is one kind of trouble.
type scenario struct {
	name        string
	short, long int           // the number of tries
	parallel    int           // how many tries run at the same time
	withoutSSH  bool          // the plugin has no credentials for SSH
	byRule      bool          // a filter rule enforces, alone or beside the blacklist
	timeout     time.Duration // of one try; 0: tryTimeout
	run         func(*try)
}

// scenarios are all of them, in the order of docs/reliability.md.
var scenarios = []scenario{
	{name: "crash points", short: 12, long: 36, parallel: 6, run: crashPoints},
	{name: "crash points, no SSH", short: 6, long: 18, parallel: 6, withoutSSH: true, run: crashPoints},
	{name: "bans that end meanwhile", short: killedLanes, long: 2 * killedLanes, parallel: killedLanes, run: endsWhileAway},
	{name: "bans that end meanwhile, no SSH", short: killedLanesWithoutSSH, long: killedLanesWithoutSSH, parallel: killedLanesWithoutSSH, withoutSSH: true, run: endsWhileAway},
	{name: "the link", short: len(linkFaults) - 9, long: 3 * len(linkFaults), parallel: 6, run: faultyLink},
	{name: "the link, no SSH", short: 6, long: len(apiFaults), parallel: 6, withoutSSH: true, run: faultyLink},
	{name: "SSH down, API up", short: 2, long: 12, parallel: 4, run: sshOutages},
	{name: "the appliance", short: len(applianceFaults), long: 3 * len(applianceFaults), parallel: 6, run: faultyAppliance},
	{name: "the appliance, no SSH", short: len(blacklistFaults), long: 2 * len(blacklistFaults), parallel: 6, withoutSSH: true, run: faultyAppliance},
	{name: "a reboot after a small flush", short: 1, long: 8, parallel: 4, run: rebootAfterSmallFlush},
	{name: "a reboot after a small flush, no SSH", short: 1, long: 4, parallel: 4, withoutSSH: true, run: rebootAfterSmallFlush},
	{name: "the administrator at work", short: 2, long: 10, parallel: 1, run: administratorAtWork},
	{name: "lock-out", short: len(lockouts), long: 3 * len(lockouts), parallel: 4, run: lockOut},
	{name: "lock-out, no SSH", short: len(lockouts), long: len(lockouts), parallel: 4, withoutSSH: true, run: lockOut},
	{name: "state", short: stateKinds, long: 4 * stateKinds, parallel: 4, run: badState},
	{name: "clock", short: 4, long: 14, parallel: 4, run: badClock},
	{name: "clock, no SSH", short: 2, long: 6, parallel: 4, withoutSSH: true, run: badClock},
	{name: "input", short: 19, long: 38, parallel: 2, run: hostileInput},
	{name: "load", short: 1, long: 1, parallel: 1, run: load},
	{name: "processes", short: 4, long: 12, parallel: 4, run: processes},
	{name: "processes, no SSH", short: 2, long: 4, parallel: 4, withoutSSH: true, run: processes},
	{name: "crash points, rule", short: 6, long: 24, parallel: 6, byRule: true, run: crashPoints},
	{name: "bans that end meanwhile, rule", short: 3, long: 2 * killedLanesByRule, parallel: killedLanesByRule / 2, byRule: true, run: endsWhileAway},
	{name: "faults, rule", short: 12, long: 3 * len(ruleFaults), parallel: 6, byRule: true, run: faultyRule},
	{name: "rule commands", short: 6, long: 24, parallel: 6, byRule: true, run: ruleCommands},
	{name: "processes, rule", short: 2, long: 8, parallel: 4, byRule: true, run: processes},
	{name: "secrets", short: 1, long: 2, parallel: 1, run: secrets},
	{name: "shared", short: 2, long: 20, parallel: 2, timeout: time.Hour, run: sharedState},
	{name: "identity", short: len(strangers), long: 3 * len(strangers), parallel: 5, run: stranger},
}

// tryTimeout is the longest time of one try.
const tryTimeout = 10 * time.Minute

// Options are for Run.
type Options struct {
	Binary string // of the plugin
	Short  bool   // fewer and smaller tries
	Seed   uint64 // of the first try of each scenario; the next try has the next seed
	Tries  int    // of each scenario; 0: its usual number
}

// loss is a kind of loss, and a column of the table.
type loss int

const (
	lostBans  loss = iota // a ban in force is not enforced, or not in the files after a flush that writes them
	notEnded              // a ban has ended, and its entry or object is still there, or the running rule still has it
	lostLines             // a line or a rule of the administrator is gone or changed
	lockedOut             // the appliance locked the account
	evictions             // the administrator lost the configuration right
	crashes               // the plugin ended by itself
	leaks                 // a secret is where it must not be
	others                // anything else
	losses
)

// result is the sum of some tries.
type result struct {
	tries int
	lost  [losses]int
	took  time.Duration
}

// try is one try of a scenario.
type try struct {
	*testing.T
	Options
	withoutSSH bool // the plugin has no credentials for SSH
	byRule     bool // a filter rule enforces
	ctx        context.Context
	random     *rand.Rand
	mu         sync.Mutex
	result
}

// Run runs the scenarios.
func Run(t *testing.T, o Options) {
	if os.Geteuid() != 0 {
		t.Fatal("the torture needs root")
	}
	o.Binary = share(t, o.Binary)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "scenario\ttried\tbans lost\tnot ended\tlines lost\tlock-outs\tevictions\tcrashes\tsecrets shown\tother\ttook")
	began, tries, results := time.Now(), 0, make([]result, len(scenarios))
	start := func(withoutSSH, byRule bool) {
		for i, s := range scenarios {
			if s.withoutSSH == withoutSSH && s.byRule == byRule {
				t.Run(s.name, func(t *testing.T) { results[i] = s.start(t, o) })
			}
		}
	}
	var running sync.WaitGroup
	running.Go(func() { start(true, false) })
	running.Go(func() { start(false, true) })
	if !o.Short { // the long form measures the load on an idle machine
		running.Wait()
	}
	start(false, false)
	running.Wait()
	for i, r := range results {
		r.print(table, scenarios[i].name)
		tries += r.tries
	}
	if tries == 0 {
		t.Fatal("-run matches no try of a scenario")
	}
	fmt.Printf("First seed of each scenario %d, in %s.\n\n", o.Seed, time.Since(began).Round(time.Second))
	_ = table.Flush()
}

// share copies the binary to a folder that every user can read.
func share(t *testing.T, binary string) string {
	text, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "stormshield-torture-bin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary = filepath.Join(dir, filepath.Base(binary))
	if err := errors.Join(os.Chmod(dir, 0o711), os.WriteFile(binary, text, 0o600), os.Chmod(binary, 0o755)); err != nil {
		t.Fatal(err)
	}
	return binary
}

// start makes the tries of a scenario.
func (s scenario) start(t *testing.T, o Options) (sum result) {
	tries := s.long
	if o.Short {
		tries = s.short
	}
	if o.Tries > 0 {
		tries = o.Tries
	}
	fmt.Printf("%s: %d tries\n", s.name, tries)
	began, slots := time.Now(), make(chan struct{}, s.parallel)
	var mu sync.Mutex
	var running sync.WaitGroup
	for i := range tries {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			one := o
			one.Seed += uint64(i)
			t.Run(fmt.Sprint("seed ", one.Seed), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(s.timeout, tryTimeout))
				defer cancel()
				y := &try{T: t, Options: one, withoutSSH: s.withoutSSH, byRule: s.byRule, ctx: ctx, random: rand.New(rand.NewPCG(one.Seed, 0))}
				t.Cleanup(func() { // after that of the harness
					if y.lost == [losses]int{} && t.Failed() {
						y.lost[others]++
					}
					mu.Lock()
					defer mu.Unlock()
					sum.add(y.result)
				})
				s.run(y)
			})
		})
	}
	running.Wait()
	sum.took = time.Since(began)
	return sum
}

// choose returns a number below n. Consecutive seeds choose all of them in turn.
func (t *try) choose(n int) int { return int(t.Seed % uint64(n)) }

// report counts losses, and fails the test.
func (t *try) report(kind loss, n int, format string, args ...any) {
	t.Helper()
	t.mu.Lock()
	t.lost[kind] += n
	t.mu.Unlock()
	t.Errorf(format, args...)
}

// must ends the try if there is an error.
func (t *try) must(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (t *try) pause(d time.Duration) {
	t.Helper()
	t.must(plugintest.Pause(t.ctx, d))
}

// pauseUpTo pauses for a time that it draws.
func (t *try) pauseUpTo(d time.Duration) {
	t.Helper()
	t.pause(time.Duration(t.random.Int64N(int64(d))))
}

func (sum *result) add(r result) {
	sum.tries += max(r.tries, 1)
	for i, n := range r.lost {
		sum.lost[i] += n
	}
}

func (sum *result) print(out io.Writer, name string) {
	if sum.tries == 0 {
		return // -run excludes it
	}
	fmt.Fprintf(out, "%s\t%d", name, sum.tries)
	for _, n := range sum.lost {
		fmt.Fprintf(out, "\t%d", n)
	}
	fmt.Fprintf(out, "\t%s\n", sum.took.Round(time.Second))
}
