package enforcer_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
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
