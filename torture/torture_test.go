//go:build torture

package torture_test

import (
	"flag"
	"math/rand/v2"
	"testing"

	"notification-stormshield/torture"
)

var (
	binary = flag.String("plugin", "../bin/notification-stormshield", "the plugin's `binary`")
	seed   = flag.Uint64("seed", rand.Uint64N(1_000_000)+1, "the `seed` of the first try of each scenario")
	tries  = flag.Int("tries", 0, "the number of tries of each scenario; 0: its usual number")
)

func TestTorture(t *testing.T) {
	torture.Run(t, torture.Options{Binary: *binary, Short: testing.Short(), Seed: *seed, Tries: *tries})
}
