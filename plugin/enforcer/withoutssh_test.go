package enforcer_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
)

// withoutSSH configures an enforcer that has no credentials for SSH.
func withoutSSH(h *harness) func(c *enforcer.Config) {
	h.fw.set(func() { h.fw.withoutSSH = true })
	return func(c *enforcer.Config) { c.WithoutSSH, c.Target = true, ledger.Target{} }
}

func TestWithoutSSHEntriesAreRenewedBeforeTheyEnd(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(withoutSSH(h))
		defer end()
		var all []string
		for i := range 20 {
			all = append(all, fmt.Sprintf("203.0.113.%d", i))
			h.ban(all[i], 1000*time.Hour)
		}
		slices.Sort(all)
		e.Trigger()
		for day := range 2 {
			h.waitUntil(time.Duration(day*24+23) * time.Hour)
			h.want(fmt.Sprint("on day ", day), all...)
		}
		if n := h.sshLogins(); n != 0 {
			t.Errorf("%d logins over SSH", n)
		}
		if s := h.status(); s.ToWrite+s.ToBlock+s.ToUnblock != 0 || time.Since(s.Confirmed) > 11*time.Minute {
			t.Errorf("status says %+v", s)
		}
	})
}

func TestWithoutSSHALargeChangeTakesSeveralFlushesAndTheLastAttackerComesFirst(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(func(c *enforcer.Config) {
			withoutSSH(h)(c)
			c.MaxBans = 10_000
		})
		defer end()
		h.waitUntil(time.Minute)
		var list []ban.Decision
		for i := range 5000 {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 32)
			list = append(list, ban.Decision{Prefix: p, RangeBits: 32, Type: "ban", Origin: "lists:tor", Until: time.Now().Add(100 * time.Hour)})
		}
		if _, err := h.ledger.Record(context.Background(), list, time.Now(), 10_000); err != nil {
			t.Fatal(err)
		}
		e.Trigger()
		h.waitUntil(time.Minute + 2*time.Second)
		if n := len(h.fw.blocked()); n != 2000 {
			t.Errorf("%d blocked by the first flush, want 2000", n)
		}
		h.recordDecision("203.0.113.7/32", "crowdsec", time.Hour)
		e.Trigger()
		h.waitUntil(time.Minute + 35*time.Second)
		if !slices.Contains(h.fw.blocked(), "203.0.113.7") {
			t.Error("an attacker waits for a list")
		}
		h.waitUntil(3 * time.Minute)
		if n := len(h.fw.blocked()); n != 5001 {
			t.Errorf("%d blocked at the end, want 5001", n)
		}
	})
}

func TestRemovingAndAddingTheCredentialsForSSHLeavesNoBanUnblocked(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.singleMax = 3
		all := []string{"203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4", "203.0.113.5"}
		gone := 0
		watch := func(done func()) { // after each step of each flush
			h.fw.set(func() {
				h.fw.fault = func(step) error {
					for _, a := range all {
						if h.fw.entries[single(a)].Before(time.Now()) {
							gone++
						}
					}
					return nil
				}
			})
			done()
			h.fw.set(func() { h.fw.fault = nil })
		}
		e, end := h.startEnforcer(edge)
		for _, a := range all {
			h.ban(a, 100*time.Hour)
		}
		e.Trigger()
		h.waitUntil(12 * time.Minute)
		h.want("with SSH", all...)
		end()
		watch(func() {
			change := withoutSSH(h)
			e, end := h.startEnforcer(func(c *enforcer.Config) {
				change(c)
				c.Target.Host = "192.0.2.1:443"
			})
			h.waitUntil(13 * time.Minute)
			for _, a := range all { // each has an entry of its own
				if left := h.fw.entries[single(a)].Sub(h.start); left < 24*time.Hour {
					t.Errorf("the entry of %s ends after %v", a, left)
				}
			}
			h.ban("203.0.113.6", 10*time.Minute)
			e.Trigger()
			h.waitUntil(30 * time.Minute)
			h.want("without SSH", all...)
			if listed := h.fw.listed(); !slices.Equal(listed, all) {
				t.Errorf("without SSH the files list %v", listed)
			}
			if s := h.status(); s.ToWrite != 0 || !s.Pending.IsZero() {
				t.Errorf("status says %+v", s)
			}
			end()
		})
		h.fw.set(func() { h.fw.withoutSSH = false })
		watch(func() {
			_, end := h.startEnforcer(edge)
			h.waitUntil(32 * time.Minute)
			h.want("with SSH again", all...)
			end()
		})
		if gone > 0 {
			t.Errorf("a ban was not blocked %d times", gone)
		}
		if target, err := h.ledger.Target(context.Background()); err != nil || len(target.OldGroups) > 0 || target.Group != "Crowdsec" {
			t.Errorf("the target is %+v, %v", target, err)
		}
	})
}
