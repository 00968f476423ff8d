package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
)

// weather is what goes wrong at random, and what is recorded at any moment.
type weather struct {
	*house
	lasting   []time.Duration // how long bans last at most
	disturbed bool            // something was recorded in the midst of a flush

	mu     sync.Mutex
	random *rand.Rand
}

// IntN is a random number below n, for several goroutines.
func (w *weather) IntN(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

// alert records some bans: now more of them than go one by one, now fewer, and
// more than the ledger may hold. It may have looked at the clock a little
// before a flush did.
func (w *weather) alert() {
	now := time.Now().Add(-time.Duration(w.IntN(2000)) * time.Millisecond)
	var bans []ban.Decision
	for range 1 + w.IntN(2*w.fw.few) {
		lasts := w.lasting[w.IntN(len(w.lasting))] * time.Duration(1+w.IntN(100)) / 100
		bans = append(bans, ban.Decision{Prefix: single(fmt.Sprintf("203.0.113.%d", w.IntN(40))), RangeBits: 32, Type: "ban", Until: now.Add(lasts), Origin: "crowdsec"})
	}
	if _, err := w.ledger.Record(context.Background(), bans, now, 25); err != nil {
		w.t.Error(err)
	}
}

// strike is the fault of a step, and now and then an alert in the midst of it.
func (w *weather) strike(step) error {
	switch w.IntN(40) {
	case 0:
		return errors.New("cut")
	case 1:
		panic("crash")
	case 2, 3, 4:
		w.disturbed = true
		w.alert()
	}
	return nil
}

// meddle is what others do to the appliance's files.
func (w *weather) meddle() {
	w.fw.set(func() {
		w.fw.version++
		w.fw.files[single("203.0.113.99")] = true
		for p := range w.fw.files {
			delete(w.fw.files, p)
			break
		}
	})
}

// watch looks after every flush whether what differed was all that differed.
func (w *weather) watch(done appliance.Outcome, incremental bool, standing []netip.Prefix) {
	listed := addresses(slices.Collect(maps.Keys(w.fw.files)))
	if want := addresses(standing); incremental && done.Listed && !slices.Equal(listed, want) {
		w.t.Errorf("the files list %v after a flush, want %v", listed, want)
	}
	if blocked := w.fw.onBlacklist(); !w.disturbed && !done.At.IsZero() && !done.Unfinished && !slices.Equal(blocked, listed) {
		w.t.Errorf("blocked after a flush: %v, want %v", blocked, listed)
	}
	w.disturbed = false
}

func (w *weather) inForce() []string {
	p, err := w.ledger.Plan(context.Background(), ledger.PlanOptions{Now: time.Now()})
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := w.ledger.BansInForce(context.Background(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	if p.InForce != len(all) {
		w.t.Errorf("the plan counts %d bans in force, and there are %d", p.InForce, len(all))
	}
	return addresses(all)
}

func addresses(prefixes []netip.Prefix) []string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.Addr().String())
	}
	slices.Sort(out)
	return out
}

func TestAfterRandomFailuresTheApplianceBlocksTheBansInForce(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(h *house) {
				w := &weather{house: h, random: rand.New(rand.NewPCG(seed, 0)), lasting: []time.Duration{time.Minute, time.Hour, 100 * time.Hour}}
				h.fw.few, h.fw.fault, h.fw.watch = 5, w.strike, w.watch
				h.fw.foreign, h.fw.atOnce = seed >= 4, 7
				e, end := h.process(func(c *enforcer.Config) {
					if seed%2 == 1 {
						c.Reassert = 0
					}
				})
				defer end()
				for range 80 {
					time.Sleep(time.Duration(w.IntN(40)) * time.Second)
					synctest.Wait()
					w.alert()
					e.Trigger()
					if w.IntN(20) == 0 {
						w.meddle()
					}
				}
				h.fw.set(func() { h.fw.fault = nil })
				h.ban("203.0.113.200", 100*time.Hour)
				e.Trigger()
				time.Sleep(10 * time.Minute) // more than the longest wait after a failure
				synctest.Wait()
				h.want("at the end", w.inForce()...)
				if got, want := h.fw.listed(), w.inForce(); !slices.Equal(got, want) {
					t.Errorf("the files list %v, want %v", got, want)
				}
			})
		})
	}
}

func TestAfterACrashNothingStaysBlockedWhenAllBansEndWithoutThePlugin(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(h *house) {
				w := &weather{house: h, random: rand.New(rand.NewPCG(seed, 1)), lasting: []time.Duration{time.Minute}}
				h.fw.few, h.fw.foreign, h.fw.atOnce = 5, seed >= 4, 7
				crashAt := 0
				cut := func(step) error {
					if crashAt--; crashAt <= 0 { // the process is killed at a step, and reaches the appliance no more
						panic("crash")
					}
					return nil
				}
				for round := range 25 {
					h.fw.set(func() { h.fw.fault = nil })
					e, end := h.process(nil)
					time.Sleep(time.Minute) // all is well
					h.fw.set(func() { h.fw.fault, crashAt = cut, w.IntN(12) })
					w.alert()
					e.Trigger()
					time.Sleep(time.Duration(w.IntN(40)) * time.Second)
					end()
					time.Sleep(2 * time.Minute) // everything ends
					h.fw.set(func() { h.fw.fault = nil })
					_, end = h.process(nil)
					time.Sleep(10 * time.Minute)
					end()
					h.want(fmt.Sprint("after round ", round))
					if left := h.fw.listed(); len(left) > 0 {
						t.Errorf("after round %d the files list %v", round, left)
					}
					s, err := h.ledger.Status(context.Background(), time.Now())
					if err != nil || s.ToBlock+s.ToUnblock > 0 || !s.Pending.IsZero() {
						t.Errorf("after round %d: %+v, %v", round, s, err)
					}
				}
			})
		})
	}
}
