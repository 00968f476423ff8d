// The demo shows in half a minute what notification-stormshield does: it starts
// a simulated Stormshield appliance and the real plugin binary, plays CrowdSec,
// and prints what the appliance blocks and what its files hold, before, during
// and after.
//
// Everything it says it also checks: it ends with status 1 when something is
// not as it says.
//
//	go run ./demo -plugin bin/notification-stormshield
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// limit is how long the whole demo may take.
const limit = time.Minute

func main() {
	binary := flag.String("plugin", "bin/notification-stormshield", "the plugin's `binary`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the demo's limit of %s is over", limit))
	err := run(ctx, *binary)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\nThe demo failed: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string) error {
	s, err := newStage(binary)
	if err != nil {
		return err
	}
	defer s.close()
	for _, act := range []func(context.Context) error{s.before, s.bans, s.storm, s.after, s.cleanup} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return s.verdict()
}
