// The benchmark runs the real plugin binary against the simulated appliance and
// prints Markdown tables: how soon a ban is in force, how fast the plugin answers a
// notification, what a flush costs, and how much memory the plugin needs.
//
// It measures flushes in three ways and over two networks. An appliance with awk
// edits its files itself, and the plugin sends the change alone. An appliance
// without awk receives both files whole. A plugin without SSH uses the API alone.
// The ways alternate, over the loopback interface and over an emulated link.
//
// Every number is of this run on this machine. The simulated appliance and this
// program share the processors with the plugin, but not its memory. So ratios of
// times within one run are more reliable than times. The program ends with status
// 1 if a target is missed.
//
//	go run ./bench -plugin bin/notification-stormshield [-quick] [-totals 1000,100000] [-only PART] [-svg FILE] [-no-fail]
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

var errMissed = errors.New("a target was missed")

// options are the flags.
type options struct {
	binary string
	dir    string // of the state folders
	quick  bool
	totals string // the numbers of bans in force; "": the usual ones
	only   string // one of parts; "": all
	svg    string // the file of the figure; "": none
	noFail bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "plugin", "bin/notification-stormshield", "the plugin's `binary`")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "a `folder` for the plugin's state, on a disk like the one it will have")
	flag.BoolVar(&o.quick, "quick", false, "fewer bans and fewer tries")
	flag.StringVar(&o.totals, "totals", "", "measure with these `numbers` of bans in force, e.g. 1000,100000")
	flag.StringVar(&o.only, "only", "", "measure this `part` alone: "+strings.Join(parts, ", "))
	flag.StringVar(&o.svg, "svg", "", "draw what one more ban costs into this `file`")
	flag.BoolVar(&o.noFail, "no-fail", false, "end with status 0 even if a target is missed")
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
	m, failed := p.measure(ctx, o) // after a failure, what was measured before it is shown
	fmt.Printf("%s on %s/%s, %d processors (load %s before, %s after), state on %s, in %s.\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), before, load(), filesystem(o.dir),
		time.Since(launched).Round(time.Second))
	judged := m.targets()
	show(os.Stdout, judged, m)
	if failed != nil {
		return failed
	}
	if o.svg != "" && len(m.costs) > 0 {
		if err := os.WriteFile(o.svg, []byte(figure(m.costs)), 0o644); err != nil {
			return fmt.Errorf("draw what one more ban costs: %w", err)
		}
	}
	if missed(judged) && !o.noFail {
		return errMissed
	}
	return nil
}

// show prints all tables.
func show(out io.Writer, judged []target, m measured) {
	targetTable(judged).print(out)
	if len(m.costs) > 0 {
		fmt.Fprintf(out, "\nWhat a flush costs. Where it writes the files: whole files → the change alone (how many times less). Bytes, logins and\n"+
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

// load is the load of the last minute. Other programs slow the benchmark down.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	minute, _, ok := strings.Cut(string(text), " ")
	if err != nil || !ok {
		return "unknown"
	}
	return minute
}

// launched is the start of the benchmark.
var launched = time.Now()

// progress prints the present measurement with the time since the start.
func progress(format string, args ...any) {
	elapsed := time.Since(launched).Round(time.Second)
	fmt.Fprintf(os.Stderr, "%02d:%02d "+format+"\n", append([]any{int(elapsed.Minutes()), int(elapsed.Seconds()) % 60}, args...)...)
}
