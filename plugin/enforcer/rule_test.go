package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/enforcer"
)

// byRule configures an enforcer whose filter rule enforces, alone or beside the blacklist.
func byRule(h *harness, alone bool) func(c *enforcer.Config) {
	h.fw.set(func() { h.fw.byRule, h.fw.alone = true, alone })
	return func(c *enforcer.Config) {
		edge(c)
		c.Activate = time.Minute
		c.Target.ByRule, c.Target.WithoutBlacklist = true, alone
	}
}

// eachWay runs a test with the rule alone, and with both.
func eachWay(t *testing.T, test func(h *harness, alone bool)) {
	t.Helper()
	for what, alone := range map[string]bool{"rule": true, "both": false} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			runTest(t, func(h *harness) { test(h, alone) })
		})
	}
}

func (h *harness) running() []string {
	h.fw.mu.Lock()
	defer h.fw.mu.Unlock()
	return addresses(slices.Collect(maps.Keys(h.fw.running)))
}

func (h *harness) wantRunning(when string, addresses ...string) {
	h.t.Helper()
	if got := h.running(); !slices.Equal(got, addresses) {
		h.t.Errorf("%s: the running rule has %v, want %v", when, got, addresses)
	}
}

// checkTimeBetweenActivations reports two activations within the time that byRule configures. The ledger stores milliseconds.
func (h *harness) checkTimeBetweenActivations() {
	h.t.Helper()
	if len(h.fw.activations) < 2 {
		h.t.Errorf("%d activations", len(h.fw.activations))
	}
	for i, at := range h.fw.activations[1:] {
		if wait := at.Sub(h.fw.activations[i]); wait < time.Minute-time.Millisecond {
			h.t.Errorf("%v between two activations", wait)
		}
	}
}

func TestABanIsInTheRunningRuleWithinDebounceAndTheTimeBetweenActivations(t *testing.T) {
	eachWay(t, func(h *harness, alone bool) {
		e, end := h.startEnforcer(byRule(h, alone))
		defer end()
		h.waitUntil(10 * time.Minute)
		h.ban("203.0.113.1", 100*time.Hour)
		e.Trigger()
		h.waitUntil(10*time.Minute + 2*time.Second)
		h.wantRunning("after the debounce", "203.0.113.1")
		h.waitUntil(10*time.Minute + 40*time.Second)
		h.ban("203.0.113.2", 100*time.Hour)
		h.ban("203.0.113.1", 100*time.Hour)
		e.Trigger()
		h.waitUntil(10*time.Minute + 42*time.Second)
		if got := h.fw.listed(); len(got) != 2 {
			h.t.Errorf("after the debounce the files list %v", got)
		}
		h.wantRunning("before the next activation", "203.0.113.1")
		if s := h.status(); s.Stale.IsZero() {
			h.t.Errorf("status says %+v", s)
		}
		h.waitUntil(11*time.Minute + 12*time.Second) // the next flush after a minute
		h.wantRunning("after a minute", "203.0.113.1", "203.0.113.2")
		if s := h.status(); !s.Stale.IsZero() || s.ToBlock+s.ToUnblock+s.ToWrite > 0 || !s.Pending.IsZero() {
			h.t.Errorf("status says %+v", s)
		}
		logins := h.sshLogins()
		h.waitUntil(19 * time.Minute)
		if n := h.sshLogins() - logins; n > 0 {
			h.t.Errorf("%d logins over SSH with nothing to do", n)
		}
		if blocked := h.fw.blocked(); (len(blocked) == 0) != alone {
			h.t.Errorf("the blacklist has %v", blocked)
		}
	})
}

func TestABanThatEndsLeavesTheRunningRule(t *testing.T) {
	eachWay(t, func(h *harness, alone bool) {
		e, end := h.startEnforcer(byRule(h, alone))
		defer end()
		h.ban("203.0.113.1", 100*time.Hour)
		h.ban("203.0.113.2", 5*time.Minute)
		e.Trigger()
		h.waitUntil(4 * time.Minute)
		h.wantRunning("before", "203.0.113.1", "203.0.113.2")
		h.waitUntil(5*time.Minute + 2*time.Second)
		h.wantRunning("after", "203.0.113.1")
		if !strings.Contains(h.log.String(), "removed=1") {
			h.t.Errorf("the log lacks the removed ban:\n%s", h.log)
		}
		if s := h.status(); s.InForce.Total() != 1 || s.ToWrite+s.ToUnblock > 0 {
			h.t.Errorf("status says %+v", s)
		}
	})
}

func TestManyBansAreActivatedOnceInEachTime(t *testing.T) {
	eachWay(t, func(h *harness, alone bool) {
		e, end := h.startEnforcer(byRule(h, alone))
		defer end()
		for i := range 600 { // ten minutes
			h.ban(fmt.Sprintf("203.0.113.%d", i%250), 100*time.Hour)
			e.Trigger()
			h.waitUntil(time.Duration(i) * time.Second)
		}
		h.waitUntil(12 * time.Minute)
		h.checkTimeBetweenActivations()
		if n := len(h.running()); n != 250 {
			h.t.Errorf("the running rule has %d", n)
		}
	})
}

func TestAnActivationThatFailsIsTriedAgainAndStaysPending(t *testing.T) {
	eachWay(t, func(h *harness, alone bool) {
		e, end := h.startEnforcer(byRule(h, alone))
		defer end()
		h.ban("203.0.113.1", 100*time.Hour)
		e.Trigger()
		h.waitUntil(2 * time.Minute)
		h.fw.set(func() {
			h.fw.fault = func(at step) error {
				if h.fw.sshDown = nil; at == beforeActivating {
					h.fw.sshDown = errors.New("no space left")
				}
				return nil
			}
		})
		h.ban("203.0.113.2", 100*time.Hour)
		e.Trigger()
		h.waitUntil(20 * time.Minute)
		h.wantRunning("while it fails", "203.0.113.1")
		if s := h.status(); s.Stale.IsZero() || s.Files.Count == 0 {
			h.t.Errorf("status says %+v", s)
		}
		if !strings.Contains(h.log.String(), "the filter rule cannot be activated") {
			h.t.Errorf("the log lacks this line:\n%s", h.log)
		}
		h.fw.set(func() { h.fw.fault, h.fw.sshDown = nil, nil })
		h.waitUntil(26 * time.Minute)
		h.wantRunning("later", "203.0.113.1", "203.0.113.2")
		h.checkTimeBetweenActivations()
	})
}

func TestTheEntriesGoWhenARuleInForceReplacesThem(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(edge)
		h.ban("203.0.113.1", 100*time.Hour)
		h.ban("203.0.113.2", 5*time.Minute)
		h.ban("203.0.113.3", 100*time.Hour)
		e.Trigger()
		h.waitUntil(time.Minute)
		end()
		h.fw.set(func() { h.fw.noRule = true })
		_, end = h.startEnforcer(byRule(h, true))
		h.waitUntil(20 * time.Minute)
		h.want("while no rule is in force", "203.0.113.1", "203.0.113.3")
		if s := h.status(); !strings.Contains(s.Trouble.Text, "no rule in force") {
			t.Errorf("status says %+v", s)
		}
		h.fw.set(func() { h.fw.noRule = false })
		h.waitUntil(26 * time.Minute)
		h.want("when it is in force")
		h.wantRunning("when it is in force", "203.0.113.1", "203.0.113.3")
		if s := h.status(); s.Trouble.Text != "" || s.ToBlock+s.ToUnblock+s.ToWrite > 0 || !s.Pending.IsZero() || time.Since(s.Confirmed) > 11*time.Minute {
			t.Errorf("status says %+v", s)
		}
		end()
		h.fw.set(func() { h.fw.byRule, h.fw.alone = false, false })
		_, end = h.startEnforcer(edge)
		defer end()
		h.waitUntil(28 * time.Minute)
		h.want("by the blacklist again", "203.0.113.1", "203.0.113.3")
	})
}

func TestARuleThatGoesAwayIsReported(t *testing.T) {
	eachWay(t, func(h *harness, alone bool) {
		e, end := h.startEnforcer(byRule(h, alone))
		defer end()
		h.ban("203.0.113.1", 100*time.Hour)
		e.Trigger()
		h.waitUntil(time.Minute)
		h.fw.set(func() { h.fw.noRule = true })
		for _, minute := range []int{12, 15, 19, 25} {
			h.waitUntil(time.Duration(minute) * time.Minute)
			if s := h.status(); !strings.Contains(s.Trouble.Text, "no rule in force") || s.Trouble.Warning {
				h.t.Errorf("after %d minutes status says %+v", minute, s)
			}
		}
		h.fw.set(func() { h.fw.noRule = false })
		h.waitUntil(31 * time.Minute)
		if s := h.status(); s.Trouble.Text != "" {
			h.t.Errorf("status says %+v", s)
		}
	})
}

func TestAMissingRuleDelaysNoBan(t *testing.T) {
	eachWay(t, func(h *harness, alone bool) {
		e, end := h.startEnforcer(byRule(h, alone))
		defer end()
		h.ban("203.0.113.1", 100*time.Hour)
		e.Trigger()
		h.waitUntil(time.Minute)
		h.fw.set(func() { h.fw.noRule = true })
		h.waitUntil(40 * time.Minute)
		before := h.fw.count()
		h.waitUntil(50 * time.Minute)
		if n := h.fw.count() - before; n > 4 {
			h.t.Errorf("%d flushes in ten minutes without a change", n)
		}
		for minute := time.Duration(51); minute < 54; minute++ {
			address := fmt.Sprintf("203.0.113.%d", minute)
			h.waitUntil(minute * time.Minute)
			h.ban(address, 100*time.Hour)
			e.Trigger()
			h.waitUntil(minute*time.Minute + 31*time.Second) // a look for the rule may have come just before
			if got := h.fw.blocked(); !alone && !slices.Contains(got, address) {
				h.t.Errorf("after %d minutes the blacklist has %v", minute, got)
			}
			if got := h.fw.listed(); !slices.Contains(got, address) {
				h.t.Errorf("after %d minutes the files have %v", minute, got)
			}
			if s := h.status(); !strings.Contains(s.Trouble.Text, "no rule in force") || s.Trouble.Warning {
				h.t.Errorf("after %d minutes status says %+v", minute, s.Trouble)
			}
		}
	})
}

func TestTheLogOfAnotherWayNamesNoOtherGroups(t *testing.T) {
	runTest(t, func(h *harness) {
		_, end := h.startEnforcer(edge)
		h.waitUntil(time.Minute)
		end()
		_, end = h.startEnforcer(byRule(h, true))
		h.waitUntil(2 * time.Minute)
		end()
		if log := h.log.String(); strings.Contains(log, "other groups") || !strings.Contains(log, "enforces in another way") {
			t.Errorf("the log says:\n%s", log)
		}
	})
}

func TestARequestActivatesTheRuleAtOnce(t *testing.T) {
	eachWay(t, func(h *harness, alone bool) {
		e, end := h.startEnforcer(byRule(h, alone))
		defer end()
		h.ban("203.0.113.1", 100*time.Hour)
		e.Trigger()
		h.waitUntil(10*time.Minute + time.Second)
		h.ban("203.0.113.2", 100*time.Hour)
		e.Trigger()
		h.waitUntil(10*time.Minute + 40*time.Second)
		h.ban("203.0.113.3", 100*time.Hour)
		if _, err := h.ledger.RequestFlush(context.Background()); err != nil {
			h.t.Fatal(err)
		}
		h.waitUntil(10*time.Minute + 45*time.Second)
		h.wantRunning("after a request", "203.0.113.1", "203.0.113.2", "203.0.113.3")
	})
}

// The other node has the files of the last synchronisation, and its running rule has no member.
func TestAFailoverActivatesTheRuleOfTheOtherNode(t *testing.T) {
	eachWay(t, func(h *harness, alone bool) {
		h.fw.serial = "A"
		e, end := h.startEnforcer(byRule(h, alone))
		defer end()
		h.ban("203.0.113.1", 100*time.Hour)
		h.ban("203.0.113.2", 100*time.Hour)
		e.Trigger()
		h.waitUntil(15 * time.Minute)
		h.fw.replace("B")
		h.fw.set(func() {
			h.fw.files, h.fw.running = map[netip.Prefix]bool{single("203.0.113.9"): true}, nil
			h.fw.version++
		})
		h.waitUntil(27 * time.Minute)
		h.wantRunning("after the next re-assert", "203.0.113.1", "203.0.113.2")
		if !alone {
			h.want("after the next re-assert", "203.0.113.1", "203.0.113.2")
		}
		if s := h.status(); s.Trouble.Text != "" || !s.Stale.IsZero() || s.ToBlock+s.ToUnblock+s.ToWrite > 0 {
			h.t.Errorf("status says %+v", s)
		}
		n := h.fw.count()
		h.waitUntil(35 * time.Minute)
		if more := h.fw.count() - n; more > 1 {
			h.t.Errorf("%d flushes with nothing to do", more)
		}
	})
}

func TestTheRuleIsActivatedAlsoIfItNeedsNoWait(t *testing.T) {
	eachWay(t, func(h *harness, alone bool) {
		configure := byRule(h, alone)
		e, end := h.startEnforcer(func(c *enforcer.Config) {
			configure(c)
			c.Activate = 0
		})
		defer end()
		for i := range 10 {
			h.ban(fmt.Sprintf("203.0.113.%d", i), 100*time.Hour)
			e.Trigger()
			time.Sleep(32 * time.Second)
			if n := len(h.running()); n != i+1 {
				h.t.Errorf("the running rule has %d bans, want %d", n, i+1)
			}
		}
	})
}
