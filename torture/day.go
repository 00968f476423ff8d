package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// day is one kind of worst day.
type day struct {
	name        string
	short, long int // how often it is tried
	beside      int // how many tries run at the same time
	try         func(context.Context, *trial) error
}

// days are all of them, in the order of docs/reliability.md.
var days = []day{
	{name: "crash points", short: 12, long: 54, beside: 6, try: crashPoints},
	{name: "bans that end meanwhile", short: killedLanes, long: 2 * killedLanes, beside: killedLanes, try: endsWhileAway},
	{name: "the link", short: len(linkFaults), long: 4 * len(linkFaults), beside: 6, try: badLink},
	{name: "the appliance", short: len(applianceFaults), long: 4 * len(applianceFaults), beside: 6, try: badAppliance},
	{name: "the administrator at work", short: 2, long: 10, beside: 1, try: administratorAtWork},
	{name: "lock-out", short: 2 * len(lockouts), long: 4 * len(lockouts), beside: 4, try: lockOut},
	{name: "state", short: stateKinds, long: 4 * stateKinds, beside: 4, try: badState},
	{name: "clock", short: 4, long: 20, beside: 4, try: badClock},
	{name: "input", short: 19, long: 38, beside: 2, try: hostileInput},
	{name: "load", short: 1, long: 1, beside: 1, try: load},
	{name: "processes", short: 4, long: 16, beside: 4, try: processes},
	{name: "secrets", short: 1, long: 2, beside: 1, try: secrets},
	{name: "identity", short: len(strangers), long: 3 * len(strangers), beside: 5, try: stranger},
}

// tryTimeout is how long one try may take before it counts as failed.
const tryTimeout = 10 * time.Minute

// trial is one try of a day.
type trial struct {
	day    string
	binary string
	short  bool
	seed   uint64
	random *rand.Rand
	found  findings
}

// choose is which of so many a try is about: consecutive seeds go through all.
func (t *trial) choose(n int) int { return int(t.seed % uint64(n)) }

// findings are what a try found lost.
type findings struct {
	bans      int // in force, and not on the blacklist or not in the files
	unended   int // over, and still there
	lines     int // of the administrator's, gone or changed
	lockouts  int // of the account
	evictions int // of the administrator's right
	crashes   int // of the plugin
	leaks     int // secrets where they must not be
	other     int // anything else that was not as it must be
	tries     int // that this try was made of; 0: it was one
	notes     []string
}

func (f *findings) notef(format string, args ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

func (f *findings) any() bool {
	return f.bans+f.unended+f.lines+f.lockouts+f.evictions+f.crashes+f.leaks+f.other > 0
}

// tally adds up the tries of a day.
type tally struct {
	day   string
	tries int
	findings
	took time.Duration
}

func (t *tally) add(f findings) {
	t.tries += max(f.tries, 1)
	t.bans += f.bans
	t.unended += f.unended
	t.lines += f.lines
	t.lockouts += f.lockouts
	t.evictions += f.evictions
	t.crashes += f.crashes
	t.leaks += f.leaks
	t.other += f.other
	t.notes = append(t.notes, f.notes...)
}

// run tries a day as often as it is to be tried.
func (d day) run(ctx context.Context, o options) (tally, error) {
	tries := d.long
	if o.short {
		tries = d.short
	}
	if o.tries > 0 {
		tries = o.tries
	}
	t := tally{day: d.name}
	began := time.Now()
	fmt.Fprintf(os.Stderr, "%s: %d tries\n", d.name, tries)
	numbers := make(chan int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range min(d.beside, tries) {
		wg.Go(func() {
			for i := range numbers {
				found := d.once(ctx, o, i)
				mu.Lock()
				t.add(found)
				mu.Unlock()
			}
		})
	}
	for i := range tries {
		numbers <- i
	}
	close(numbers)
	wg.Wait()
	t.took = time.Since(began)
	return t, context.Cause(ctx)
}

// once is one try.
func (d day) once(ctx context.Context, o options, number int) findings {
	seed := o.seed + uint64(number)
	t := &trial{
		day: d.name, binary: o.binary, short: o.short, seed: seed,
		random: rand.New(rand.NewPCG(seed, 0)),
	}
	limited, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	if err := d.try(limited, t); err != nil {
		t.found.other++
		t.found.notef("the try broke off: %v", err)
	}
	if !t.found.any() || ctx.Err() != nil {
		return t.found
	}
	note := fmt.Sprintf("%s: seed %d: %s", d.name, seed, strings.Join(t.found.notes, "\n  "))
	fmt.Fprintln(os.Stderr, note)
	t.found.notes = []string{note}
	return t.found
}

// printTable prints a line a day.
func printTable(out io.Writer, tallies []tally) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "day\ttried\tbans lost\tnot ended\tlines lost\tlock-outs\tevictions\tcrashes\tsecrets shown\tother\ttook")
	for _, t := range tallies {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", t.day, t.tries, t.bans, t.unended, t.lines, t.lockouts,
			t.evictions, t.crashes, t.leaks, t.other, t.took.Round(time.Second))
	}
	_ = w.Flush()
}
