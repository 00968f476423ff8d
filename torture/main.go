// The torture makes a security product's worst days: it runs the real plugin
// binary against the simulated appliance, lets things go wrong, and looks
// afterwards whether a ban, a line of the administrator's or the
// administrator's access was lost.
//
// Each kind of day is tried many times, with moments and choices drawn from a
// seed. What it prints is a table with a line a day; of every loss it says on
// standard error what was lost and which seed makes that try again:
//
//	go run ./torture -plugin bin/notification-stormshield [-short] [-day REGEXP] [-seed N] [-tries N]
//
// A loss ends it with status 1. CrowdSec's part and the appliance run in its own
// process; they listen on the loopback interface only. It needs root, as CrowdSec
// has: the plugin runs as nobody, and disks get full.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// errLost says that something was lost.
var errLost = errors.New("something was lost")

// options are what the command line says.
type options struct {
	binary string
	short  bool
	day    string
	seed   uint64
	tries  int
}

func main() {
	var o options
	flag.StringVar(&o.binary, "plugin", "bin/notification-stormshield", "the plugin's `binary`")
	flag.BoolVar(&o.short, "short", false, "fewer tries")
	flag.StringVar(&o.day, "day", "", "only the days that match this `expression`")
	flag.Uint64Var(&o.seed, "seed", 0, "the `seed` of the first try; each further one has the next; 0: any")
	flag.IntVar(&o.tries, "tries", 0, "try each day so often; 0: as often as is usual")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "torture: %v\n", err)
		os.Exit(1)
	}
}

// share copies the binary to where every user can run it.
func (o *options) share() (remove func(), err error) {
	text, err := os.ReadFile(o.binary)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "stormshield-torture-bin-")
	if err != nil {
		return nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	o.binary = filepath.Join(dir, filepath.Base(o.binary))
	if err := errors.Join(os.Chmod(dir, 0o711), os.WriteFile(o.binary, text, 0o600), os.Chmod(o.binary, 0o755)); err != nil {
		remove()
		return nil, err
	}
	return remove, nil
}

func run(ctx context.Context, o options) error {
	chosen, err := regexp.Compile(o.day)
	if err != nil {
		return fmt.Errorf("-day: %w", err)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000) + 1
	}
	if os.Geteuid() != 0 {
		return errors.New("this needs root")
	}
	remove, err := o.share()
	if err != nil {
		return err
	}
	defer remove()
	var tallies []tally
	began := time.Now()
	for _, d := range days {
		if !chosen.MatchString(d.name) {
			continue
		}
		t, err := d.run(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		tallies = append(tallies, t)
	}
	if len(tallies) == 0 {
		return fmt.Errorf("no day matches %q", o.day)
	}
	fmt.Printf("First seed of each day %d, in %s.\n\n", o.seed, time.Since(began).Round(time.Second))
	printTable(os.Stdout, tallies)
	var lost error
	for _, t := range tallies {
		for _, note := range t.notes { // again, for whoever has only the end of a log
			fmt.Fprintln(os.Stderr, note)
		}
		if t.any() {
			lost = errLost
		}
	}
	return lost
}
