// The benchmark runs the real plugin binary against the simulated appliance
// and prints what it measured as Markdown tables: how soon a ban is in force,
// how fast a notification is answered, what a flush costs, and how much memory
// the plugin takes.
//
// Flushes are measured in two ways and over two networks. The plugin sends
// the change alone and has the appliance edit its files (the delta way);
// where the appliance has no awk, it moves both files whole (the whole-file
// way). So the same plugin meets an appliance with awk and one without, turn
// by turn, over the loopback interface and over an emulated link.
//
// Every number is of this run on this machine. The simulated appliance and
// CrowdSec's part run in the benchmark's own process: they take none of the
// plugin's memory, but share the machine's processors with it. So of times,
// ratios within one run say most. Where a target is missed, it ends with
// status 1.
//
//	go run ./bench -plugin bin/notification-stormshield [-quick] [-totals 1000,100000] [-svg FILE] [-no-fail]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	totals string // the numbers of bans in force to measure with; "": the usual ones
	svg    string // where to draw; "": nowhere
	noFail bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "plugin", "bin/notification-stormshield", "the plugin's `binary`")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "a `folder` for the plugin's state, on a disk like the one it will have")
	flag.BoolVar(&o.quick, "quick", false, "fewer bans and fewer tries")
	flag.StringVar(&o.totals, "totals", "", "measure with these `numbers` of bans in force, e.g. 1000,100000")
	flag.StringVar(&o.svg, "svg", "", "draw what one more ban costs into this `file`")
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
	p, err := o.plan()
	if err != nil {
		return err
	}
	before := load()
	m, err := p.measure(ctx, o)
	if err != nil {
		return err
	}
	fmt.Printf("%s on %s/%s, %d processors (load %s before, %s after), state on %s, in %s.\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), before, load(), filesystem(o.dir),
		time.Since(launched).Round(time.Second))
	judged := m.targets()
	show(os.Stdout, judged, m)
	if o.svg != "" {
		if err := os.WriteFile(o.svg, []byte(figure(m.costs).svg()), 0o644); err != nil {
			return fmt.Errorf("draw what one more ban costs: %w", err)
		}
	}
	if missed(judged) && !o.noFail {
		return errMissed
	}
	return nil
}

// show prints everything.
func show(out io.Writer, judged []target, m measured) {
	targetTable(judged).print(out)
	if len(m.costs) > 0 {
		fmt.Fprintf(out, "\nWhat a flush costs: whole files → the change alone (how many times less). Bytes, connections and\n"+
			"the processor's time of the appliance's shell are those over loopback; the link has %s and %s there and back.\n\n",
			rate(emulated), brief(emulated.RoundTrip))
		costTable(m.costs).print(out)
	}
	if len(m.batches) > 0 {
		fmt.Fprintf(out, "\nNew bans with %s in force: from the flush's first connection to the first / last of them on the blacklist.\n\n",
			grouped(m.batches[0].bans))
		batchTable(m.batches).print(out)
	}
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

// launched is when the benchmark was.
var launched = time.Now()

// progress tells whoever waits what is measured now.
func progress(format string, args ...any) {
	elapsed := time.Since(launched).Round(time.Second)
	fmt.Fprintf(os.Stderr, "%02d:%02d "+format+"\n", append([]any{int(elapsed.Minutes()), int(elapsed.Seconds()) % 60}, args...)...)
}
