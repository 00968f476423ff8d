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

// randomFaults makes steps of flushes fail at random, and records bans at random moments.
type randomFaults struct {
	*harness
	lasting []time.Duration // the longest time that bans last, one of these for each ban
	changed bool            // a ban was recorded during a flush
	unsure  bool            // after the last comparison an administrator changed the files, or a flush with the files was cut

	mu     sync.Mutex
	random *rand.Rand
}

// newRandomFaults sets up the appliance. With some seeds its group has foreign members.
func newRandomFaults(h *harness, seed, stream uint64, lasting ...time.Duration) *randomFaults {
	h.fw.singleMax, h.fw.foreign, h.fw.batch = 5, seed%6 >= 4, 7
	h.fw.withoutSSH = seed%8 == 3
	return &randomFaults{harness: h, random: rand.New(rand.NewPCG(seed, stream)), lasting: lasting}
}

// IntN returns a random number below n. Several goroutines may call it.
func (r *randomFaults) IntN(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.random.IntN(n)
}

// alert records some bans. They may be more than singleMax, and more than the limit. The process that records them may have read
// the clock a little before a flush did.
func (r *randomFaults) alert() {
	now := time.Now().Add(-time.Duration(r.IntN(2000)) * time.Millisecond)
	var bans []ban.Decision
	for range 1 + r.IntN(2*r.fw.singleMax) {
		lasts := r.lasting[r.IntN(len(r.lasting))] * time.Duration(1+r.IntN(100)) / 100
		p := single(fmt.Sprintf("203.0.113.%d", r.IntN(40)))
		if !r.fw.withoutSSH && r.IntN(8) == 0 {
			p = netip.MustParsePrefix(fmt.Sprintf("198.51.100.%d/28", 16*r.IntN(4)))
		}
		bans = append(bans, ban.Decision{Prefix: p, RangeBits: p.Bits(), Type: "ban", Until: now.Add(lasts), Origin: "crowdsec"})
	}
	if _, err := r.ledger.Record(context.Background(), bans, now, 25); err != nil {
		r.t.Error(err)
	}
}

// configure configures an enforcer. With some seeds it has no credentials for SSH, and with others no re-asserts at an interval.
func (r *randomFaults) configure(seed uint64) func(c *enforcer.Config) {
	return func(c *enforcer.Config) {
		c.Compare = time.Hour
		if r.fw.withoutSSH {
			c.WithoutSSH, c.Target = true, ledger.Target{}
		}
		if seed%2 == 0 {
			c.Reassert = 0
		}
	}
}

// faultAt returns the fault of a step. Sometimes it records bans instead. Sometimes SSH goes away or comes back.
func (r *randomFaults) faultAt(step) error {
	if r.IntN(15) == 0 {
		r.fw.sshDown = nil
		if r.IntN(2) == 0 {
			r.fw.sshDown = errors.New("SSH is down")
		}
	}
	if r.IntN(10) == 0 {
		r.fw.refuses = map[netip.Prefix]bool{}
		for range r.IntN(6) {
			r.fw.refuses[single(fmt.Sprintf("203.0.113.%d", r.IntN(40)))] = true
			r.changed = true
		}
	}
	switch r.IntN(40) {
	case 0:
		return errors.New("cut")
	case 1:
		panic("crash")
	case 2, 3, 4:
		r.changed = true
		r.alert()
	}
	return nil
}

// editFiles changes the files as an administrator may: it adds a prefix and removes another.
func (r *randomFaults) editFiles() {
	r.fw.set(func() {
		r.unsure = true
		r.fw.version++
		r.fw.files[single("203.0.113.99")] = true
		for p := range r.fw.files {
			delete(r.fw.files, p)
			break
		}
	})
}

// checkFlush compares the appliance with the bans in force after a flush.
func (r *randomFaults) checkFlush(done appliance.Outcome, incremental bool, standing []netip.Prefix) {
	listed := addresses(slices.Collect(maps.Keys(r.fw.files)))
	if want := addresses(standing); incremental && done.Listed && !r.fw.withoutSSH && !slices.Equal(listed, want) {
		r.t.Errorf("the files list %v after a flush, want %v", listed, want)
	}
	if last := r.fw.changes[len(r.fw.changes)-1]; last.Files {
		r.unsure = done.Compared.IsZero()
	}
	want := addresses(standing)
	if blocked := r.fw.onBlacklist(); !r.changed && len(done.Refused) == 0 && !r.unsure && !done.At.IsZero() && !done.Unfinished && !slices.Equal(blocked, want) {
		r.t.Errorf("blocked after a flush: %v, want %v", blocked, want)
	}
	r.changed = false
}

func (r *randomFaults) inForce() []string {
	p, err := r.ledger.Plan(context.Background(), ledger.PlanOptions{Now: time.Now()})
	if err != nil {
		r.t.Fatal(err)
	}
	all, err := r.ledger.BansInForce(context.Background(), p)
	if err != nil {
		r.t.Fatal(err)
	}
	if p.InForce != len(all) {
		r.t.Errorf("the plan counts %d bans in force, and there are %d", p.InForce, len(all))
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
	testRandomFailures(t, 1, 3, 4)
}

func TestLongAfterRandomFailuresTheApplianceBlocksTheBansInForce(t *testing.T) {
	testRandomFailures(t, 0, 2, 19, 5, 6, 7, 8, 9, 10, 11)
}

func testRandomFailures(t *testing.T, seeds ...uint64) {
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			runTest(t, func(h *harness) {
				r := newRandomFaults(h, seed, 0, time.Minute, time.Hour, 100*time.Hour)
				h.fw.fault, h.fw.afterFlush = r.faultAt, r.checkFlush
				e, end := h.startEnforcer(r.configure(seed))
				defer end()
				for range 80 {
					time.Sleep(time.Duration(r.IntN(40)) * time.Second)
					synctest.Wait()
					r.alert()
					e.Trigger()
					if r.IntN(20) == 0 {
						r.editFiles()
					}
				}
				h.fw.set(func() { h.fw.fault, h.fw.sshDown, h.fw.refuses = nil, nil, nil })
				h.ban("203.0.113.200", 100*time.Hour)
				e.Trigger()
				time.Sleep(10 * time.Minute) // more than the longest wait after a failure
				synctest.Wait()
				h.want("at the end", r.inForce()...)
				for try := range 3 { // a ban that ends after the flush stays in the files until the next one
					if _, err := h.ledger.RequestFlush(context.Background()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(40 * time.Second)
					synctest.Wait()
					h.want("after a flush on request", r.inForce()...)
					got, want := h.fw.listed(), r.inForce()
					if h.fw.withoutSSH || slices.Equal(got, want) {
						break
					}
					if try == 2 {
						t.Errorf("the files list %v, want %v", got, want)
					}
				}
			})
		})
	}
}

func TestAfterACrashNothingStaysBlockedWhenAllBansEndWithoutThePlugin(t *testing.T) {
	testCrashes(t, 10, 0, 3, 4)
}

func TestLongAfterACrashNothingStaysBlockedWhenAllBansEndWithoutThePlugin(t *testing.T) {
	testCrashes(t, 25, 0, 1, 2, 3, 4, 5, 11)
}

// testCrashes kills the plugin at a random step of a flush, in each of some rounds.
func testCrashes(t *testing.T, rounds int, seeds ...uint64) {
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			runTest(t, func(h *harness) {
				r := newRandomFaults(h, seed, 1, time.Minute)
				stepsLeft := 0
				crash := func(step) error {
					if stepsLeft--; stepsLeft <= 0 { // the process does not reach the appliance any more
						panic("crash")
					}
					return nil
				}
				for round := range rounds {
					h.fw.set(func() { h.fw.fault = nil })
					e, end := h.startEnforcer(r.configure(1))
					time.Sleep(time.Minute)
					h.fw.set(func() { h.fw.fault, stepsLeft = crash, r.IntN(12) })
					r.alert()
					e.Trigger()
					time.Sleep(time.Duration(r.IntN(40)) * time.Second)
					end()
					time.Sleep(2 * time.Minute) // all bans end
					h.fw.set(func() { h.fw.fault = nil })
					_, end = h.startEnforcer(r.configure(1))
					time.Sleep(11 * time.Minute)
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
