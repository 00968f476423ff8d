package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

const (
	alertsPerSecond = 1000
	notifyTarget    = 50 * time.Millisecond // at p99
)

// load sends 1,000 alerts a second, each to three appliances of one plugin, one of
// them down and one slow. The third follows as if it were alone, and afterwards
// all three have everything.
func load(ctx context.Context, t *trial) error {
	lasting := 60 * time.Second
	if t.short {
		lasting = 10 * time.Second
	}
	w, err := newWorld(ctx, t)
	if err != nil {
		return err
	}
	defer w.end()
	worlds := []*world{w}
	for _, name := range []string{"down", "slow"} {
		beside, err := w.beside(ctx, name)
		if err != nil {
			return err
		}
		defer func() { _ = beside.appliance.Close() }()
		worlds = append(worlds, beside)
	}
	healthy := w.appliance.Faults()
	worlds[1].appliance.SetFaults(func(f *snstest.Faults) { f.SSHRefuse, f.APIRefuse = true, true })
	worlds[2].appliance.SetFaults(func(f *snstest.Faults) { f.Delay = 5 * time.Second })
	if err := pause(ctx, 4*time.Second); err != nil {
		return err
	}

	var mu sync.Mutex
	var took []time.Duration
	var sending sync.WaitGroup
	slots := make(chan struct{}, 3000) // as a bound, should the plugin not follow
	began := time.Now()
	sent := 0
	for ; time.Since(began) < lasting; sent++ {
		if err := pause(ctx, time.Until(began.Add(time.Duration(sent)*time.Second/alertsPerSecond))); err != nil {
			return err
		}
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + byte(sent>>16), byte(sent >> 8), byte(sent)}), 32)
		alert := plugintest.Ban(long, prefix)
		text := alert.Text()
		for _, to := range worlds {
			slots <- struct{}{}
			sending.Go(func() {
				defer func() { <-slots }()
				start := time.Now()
				err := w.plugin.NotifyWithin(ctx, 30*time.Second, to.configuration.Name, text)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(start))
				if err != nil {
					w.found.other++
					w.found.notef("an alert was refused: %v", err)
					return
				}
				to.truth.banned([]netip.Prefix{prefix}, alert.End())
			})
		}
	}
	sending.Wait()
	rate := float64(sent) / time.Since(began).Seconds()
	// The one that is well has it all soon, though the others have not.
	if err := w.settle(ctx); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "load: %d alerts, %.0f a second; answered within %s (p99); the appliance that is well had all %s after the last\n",
		sent, rate, quantile(took, 0.99).Round(time.Millisecond), (time.Since(began) - lasting).Round(100*time.Millisecond))
	if p99 := quantile(took, 0.99); p99 > notifyTarget && !t.short { // the gate's machine may be a slow one
		w.found.other++
		w.found.notef("Notify's p99 is %s", p99)
	}
	for _, other := range worlds[1:] {
		other.appliance.SetFaults(func(f *snstest.Faults) { *f = healthy })
		if err := other.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// beside adds another appliance to the same plugin.
func (w *world) beside(ctx context.Context, name string) (*world, error) {
	appliance, err := snstest.New(snstest.Options{})
	if err != nil {
		return nil, err
	}
	other := &world{trial: w.trial, folder: w.folder, appliance: appliance, plugin: w.plugin, truth: newTruth(), administrator: meet(appliance)}
	other.configuration = w.configuration.For(appliance)
	other.configuration.Name = name
	return other, w.plugin.Configure(ctx, other.configuration.YAML())
}

func quantile(of []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[int(float64(len(sorted)-1)*q)]
}
