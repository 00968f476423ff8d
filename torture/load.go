package torture

import (
	"fmt"
	"net/netip"
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

// load sends 1,000 alerts per second to each of three appliances of one plugin.
// One appliance is down and one is slow. The third must not wait for them. When
// they recover, all three must have all bans.
func load(t *try) {
	duration := 60 * time.Second
	if t.Short {
		duration = 10 * time.Second
	}
	h := newHarness(t)
	down, slow := h.add("down"), h.add("slow")
	down.SetReachable(false)
	slow.Appliance.SetFaults(func(f *snstest.Faults) { f.Delay = 5 * time.Second })
	h.pause(4 * time.Second)

	var mu sync.Mutex
	var took []time.Duration
	var sending sync.WaitGroup
	slots := make(chan struct{}, 3000) // a bound, in case the plugin is too slow
	began := time.Now()
	sent := 0
	for ; time.Since(began) < duration; sent++ {
		h.pause(time.Until(began.Add(time.Duration(sent) * time.Second / alertsPerSecond)))
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + byte(sent>>16), byte(sent >> 8), byte(sent)}), 32)
		alert := plugintest.Ban(long, prefix)
		text := alert.Text()
		for _, to := range []*harness{h, down, slow} {
			slots <- struct{}{}
			sending.Go(func() {
				defer func() { <-slots }()
				start := time.Now()
				err := h.Plugin.NotifyWithin(h.ctx, 30*time.Second, to.Configuration.Name, text)
				if err != nil {
					h.report(others, 1, "an alert was refused: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(start))
				if err == nil {
					extend(to.expected.until, []netip.Prefix{prefix}, alert.End())
				}
			})
		}
	}
	sending.Wait()
	rate := float64(sent) / time.Since(began).Seconds()
	h.settle()
	slices.Sort(took)
	p99 := took[(len(took)-1)*99/100]
	fmt.Printf("load: %d alerts, %.0f a second; answered within %s (p99); the healthy appliance has all %s after the last\n",
		sent, rate, p99.Round(time.Millisecond), (time.Since(began) - duration).Round(100*time.Millisecond))
	if p99 > notifyTarget && !t.Short { // the machine of the gate may be slow
		h.report(others, 1, "Notify's p99 is %s", p99)
	}
	for _, recovered := range []*harness{down, slow} {
		recovered.Appliance.SetFaults(func(f *snstest.Faults) { *f = h.Appliance.Faults() })
		recovered.settle()
	}
}

// add adds another appliance to the plugin.
func (h *harness) add(name string) *harness {
	appliance, err := snstest.New(snstest.Options{})
	h.must(err)
	h.Cleanup(func() { _ = appliance.Close() })
	p := *h.Harness
	p.Appliance, p.Configuration = appliance, p.Configuration.ForAppliance(appliance)
	p.Configuration.Name = name
	h.must(h.Plugin.Configure(h.ctx, p.Configuration.YAML()))
	return &harness{try: h.try, Harness: &p, expected: newExpected(), administrator: newAdministrator(appliance)}
}
