package enforcer_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
)

// A refusal seldom ends, such as that of an IPv6 address by an appliance without IPv6.
func TestARefusedBanCostsNoLoginsOfItsOwn(t *testing.T) {
	for _, c := range []struct{ alone, others bool }{{false, false}, {false, true}, {true, false}, {true, true}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			runTest(t, func(h *harness) {
				change := withCompare
				if c.alone {
					change = withoutSSH(h)
				}
				e, end := h.startEnforcer(change)
				defer end()
				h.fw.set(func() { h.fw.refuses = map[netip.Prefix]bool{single("2001:db8::7"): true} })
				h.ban("2001:db8::7", 100*time.Hour)
				if c.others {
					h.ban("203.0.113.7", 100*time.Hour)
				}
				e.Trigger()
				h.waitUntil(30 * time.Minute)
				flushes, logins := h.fw.count(), h.sshLogins()
				h.waitUntil(90 * time.Minute)
				if n := h.fw.count() - flushes; n < 5 || n > 18 {
					t.Errorf("%d flushes in an hour, want one each 5 to 10 minutes, and the re-asserts", n)
				}
				if n := h.sshLogins() - logins; n > 1 {
					t.Errorf("%d logins over SSH in an hour in which the files did not change", n)
				}
				if s := h.status(); s.ToBlock != 1 || s.Pending.IsZero() {
					t.Errorf("status says %+v, want one ban to block", s)
				}
			})
		})
	}
}

// A flush without SSH blocks one by one for a limited time.
func TestRefusedBansDelayNoRenewal(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.life = time.Hour
		e, end := h.startEnforcer(withoutSSH(h))
		defer end()
		h.fw.set(func() { h.fw.refuses = map[netip.Prefix]bool{single("2001:db8::7"): true} })
		h.ban("203.0.113.7", 100*time.Hour)
		h.ban("2001:db8::7", 100*time.Hour)
		e.Trigger()
		h.waitUntil(55 * time.Minute)
		renewed := false
		for _, c := range h.fw.changes[1:] {
			if len(c.Block) == 2 {
				renewed = renewed || c.Block[0].Prefix == single("203.0.113.7")
			}
		}
		if !renewed {
			t.Error("the refused ban comes before the renewal")
		}
	})
}

func TestAFlushThatOnlyRefusedBansFillHasNoRest(t *testing.T) {
	runTest(t, func(h *harness) {
		change := withoutSSH(h)
		e, end := h.startEnforcer(func(c *enforcer.Config) {
			change(c)
			c.MaxBans = 10_000
		})
		defer end()
		h.fw.set(func() { h.fw.refuses = map[netip.Prefix]bool{} })
		var list []ban.Decision
		for i := range 2100 {
			p := single(fmt.Sprintf("2001:db8::%x", i))
			h.fw.refuses[p] = true
			list = append(list, ban.Decision{Prefix: p, RangeBits: 128, Type: "ban", Origin: "lists:tor", Until: time.Now().Add(100 * time.Hour)})
		}
		if _, err := h.ledger.Record(context.Background(), list, time.Now(), 10_000); err != nil {
			t.Fatal(err)
		}
		e.Trigger()
		h.waitUntil(2 * time.Second)
		if e.IsUnfinished() { // the command flush would repeat it for ever
			t.Error("the flush is called unfinished")
		}
	})
}
