// The benchmark runs the real plugin binary against the simulated appliance
// and prints what it measured as a Markdown table: how soon a ban is in force,
// how fast a notification is answered, what a flush costs, and how much memory
// the plugin takes.
//
// Every number is of this run on this machine. The simulated appliance and
// CrowdSec's part run in the benchmark's own process: they take none of the
// plugin's memory, but share the machine's processors with it. Where a target
// is missed, it ends with status 1.
//
//	go run ./bench -plugin bin/notification-stormshield [-quick] [-no-fail]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// errMissed says that a target was missed.
var errMissed = errors.New("a target was missed")

// options are what the command line says.
type options struct {
	binary string
	dir    string // where state folders are made
	quick  bool
	noFail bool
}

// size is what is measured with so many bans in force.
type size struct {
	bans  int
	lone  int           // how many lone bans are tried
	storm time.Duration // how long a storm lasts; 0: none
}

// enoughTries is how many lone bans it takes to say something about all.
const enoughTries = 5

func (o options) sizes() []size {
	if o.quick {
		return []size{{0, 5, 5 * time.Second}, {1_000, 2, 0}, {10_000, 5, 5 * time.Second}}
	}
	const storm = 20 * time.Second
	return []size{{0, 20, storm}, {1_000, 3, 0}, {10_000, 20, storm}, {100_000, 20, storm}}
}

func main() {
	var o options
	flag.StringVar(&o.binary, "plugin", "bin/notification-stormshield", "the plugin's `binary`")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "a `folder` for the plugin's state, on a disk like the one it will have")
	flag.BoolVar(&o.quick, "quick", false, "fewer bans and fewer tries")
	flag.BoolVar(&o.noFail, "no-fail", false, "only report; a missed target is no failure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	var t table
	before := load()
	for _, s := range o.sizes() {
		if err := measure(ctx, o, s, &t); err != nil {
			return fmt.Errorf("with %s bans in force: %w", grouped(s.bans), err)
		}
	}
	fmt.Printf("%s on %s/%s, %d processors (load %s before, %s after), state on %s.\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), before, load(), filesystem(o.dir))
	t.print()
	if t.missed && !o.noFail {
		return errMissed
	}
	return nil
}

// measure measures everything of one size.
func measure(ctx context.Context, o options, s size, t *table) error {
	progress("%s bans in force: start", grouped(s.bans))
	w, err := newWorld(o)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.start(ctx); err != nil {
		return err
	}
	if err := w.receive(ctx, s.bans, t); err != nil {
		return err
	}
	progress("  first flush")
	first, err := w.firstFlush(ctx, s.bans)
	if err != nil {
		return err
	}
	progress("  lone bans")
	alone, err := w.loneBans(ctx, s.lone)
	if err != nil {
		return err
	}
	t.flushes(s.bans, first, alone.flushes)
	if s.lone >= enoughTries {
		t.lone(s.bans, alone.latencies)
	}
	t.memory(s.bans, alone.peak)
	if s.storm > 0 {
		progress("  storm")
		return w.storm(ctx, s, t)
	}
	return nil
}

// load is how busy the machine was in the last minute: what runs beside the
// benchmark slows it down.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	minute, _, ok := strings.Cut(string(text), " ")
	if err != nil || !ok {
		return "unknown"
	}
	return minute
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
