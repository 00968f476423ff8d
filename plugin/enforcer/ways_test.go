package enforcer_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"notification-stormshield/plugin/enforcer"
)

func TestAfterRandomFailuresEachWayEnforcesTheBansInForce(t *testing.T) { testRandomWays(t, 100, 1, 2) }

func TestLongAfterRandomFailuresEachWayEnforcesTheBansInForce(t *testing.T) {
	testRandomWays(t, 400, 3, 4, 5, 6, 7, 8, 9, 10)
}

// testRandomWays changes what enforces at random restarts. A crash, a cut or a failure of SSH between any two steps leaves neither a ban
// that is not enforced, nor one that is enforced for too long. The rule also goes away and comes back.
func testRandomWays(t *testing.T, steps int, seeds ...uint64) {
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			runTest(t, func(h *harness) {
				r := &randomWays{newRandomFaults(h, 0, seed, time.Minute, time.Hour, 100*time.Hour)}
				h.fw.foreign, h.fw.withoutSSH = false, false
				for range steps / 20 {
					h.fw.set(func() { h.fw.fault = r.faultAt })
					e, end := h.startEnforcer(r.choose())
					for range 20 {
						time.Sleep(time.Duration(r.IntN(40)) * time.Second)
						synctest.Wait()
						r.alert()
						e.Trigger()
						if r.IntN(20) == 0 {
							r.editFiles()
						}
					}
					if r.IntN(3) == 0 {
						r.checkEnd(e)
					}
					end()
				}
				for range 3 {
					e, end := h.startEnforcer(r.choose())
					r.checkEnd(e)
					end()
				}
			})
		})
	}
}

// randomWays also changes what enforces.
type randomWays struct {
	*randomFaults
}

func (r *randomWays) choose() func(c *enforcer.Config) {
	way := r.IntN(3)
	r.fw.set(func() { r.fw.byRule, r.fw.alone = way > 0, way == 1 })
	return func(c *enforcer.Config) {
		edge(c)
		c.Compare, c.Activate, c.MaxBans = time.Hour, time.Minute, 25
		c.Target.ByRule, c.Target.WithoutBlacklist = way > 0, way == 1
	}
}

func (r *randomWays) faultAt(at step) error {
	if r.IntN(30) == 0 {
		r.fw.noRule = !r.fw.noRule
	}
	return r.randomFaults.faultAt(at)
}

// checkEnd checks that without faults the bans in force are enforced in time, and no others.
func (r *randomWays) checkEnd(e *enforcer.Enforcer) {
	r.t.Helper()
	r.fw.set(func() { r.fw.fault, r.fw.sshDown, r.fw.refuses, r.fw.noRule = nil, nil, nil, false })
	r.ban("203.0.113.200", 100*time.Hour)
	e.Trigger()
	time.Sleep(11 * time.Minute) // more than the longest wait after a failure, and a re-assert
	for try := range 20 {
		time.Sleep(7 * time.Second) // a ban may end just now
		synctest.Wait()
		want := r.inForce()
		var wanted []string
		if !r.fw.alone {
			wanted = want
		}
		if blocked, running := r.fw.blocked(), r.running(); slices.Equal(blocked, wanted) && (!r.fw.byRule || slices.Equal(running, want)) {
			break
		} else if try == 19 {
			r.t.Errorf("by rule %t, alone %t: the blacklist has %v and the running rule %v, want %v", r.fw.byRule, r.fw.alone, blocked, running, want)
		}
	}
	s := r.status()
	if s.Trouble.Text != "" && !s.Trouble.Warning || !s.Stale.IsZero() && time.Since(s.Stale) > 2*time.Minute {
		r.t.Errorf("by rule %t, alone %t: status says %+v", r.fw.byRule, r.fw.alone, s)
	}
}
