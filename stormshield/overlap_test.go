package stormshield_test

import (
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/snstest"
)

// The simulated appliance must see that two machines flush at once, wherever the flush of one comes in the flush of the other.
func TestTheSimulatedApplianceCountsFlushesAtOnce(t *testing.T) {
	t.Parallel()
	run := func(at int) (calls, overlaps int) {
		h := start(t, func(o *snstest.Options) { o.OtherUsers = []string{"second"} })
		h.MustFlush(addresses(12), nil, true)
		config := configFor(t, h.Sim)
		config.API.User, config.SSH.User = "second", "second"
		other := stormshield.New(config)
		ban := appliance.Ban{Prefix: prefixes("192.0.2.9/32")[0], Until: time.Now().Add(time.Hour)}
		h.Permit = func() error {
			if calls++; calls != at {
				return nil
			}
			_, err := other.Apply(t.Context(), appliance.Change{Pending: appliance.Pending{Block: []appliance.Ban{ban}, InForce: 1}, Begin: begun})
			return err
		}
		_, _ = h.Flush(addresses(14)[12:], addresses(8), false) // the other flush takes its right away
		return calls, h.Sim.Stats().Overlaps
	}
	all, none := run(0)
	if none != 0 || all < 8 {
		t.Errorf("%d overlaps in one flush of %d steps", none, all)
	}
	for at := 4; at < all; at++ { // step 3 is the first change after taking the right
		if _, n := run(at); n == 0 {
			t.Errorf("a flush before step %d of %d is not counted", at, all)
		}
	}
	if _, n := run(1); n != 0 {
		t.Errorf("%d overlaps of a flush before another", n)
	}
}
