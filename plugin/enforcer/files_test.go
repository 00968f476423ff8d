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

// withCompare configures an enforcer that compares the files every hour.
func withCompare(c *enforcer.Config) { c.Compare = time.Hour }

func (h *harness) recordDecision(prefix, origin string, d time.Duration) {
	h.t.Helper()
	p := netip.MustParsePrefix(prefix)
	decision := ban.Decision{Prefix: p, RangeBits: p.Bits(), Type: "ban", Origin: origin, Until: time.Now().Add(d)}
	if _, err := h.ledger.Record(context.Background(), []ban.Decision{decision}, time.Now(), 10_000); err != nil {
		h.t.Fatal(err)
	}
}

// sshLogins returns how many flushes used SSH.
func (h *harness) sshLogins() int {
	h.fw.mu.Lock()
	defer h.fw.mu.Unlock()
	return h.fw.sshLogins
}

func (h *harness) status() ledger.Status {
	h.t.Helper()
	s, err := h.ledger.Status(context.Background(), time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func TestASmallChangeNeedsNoFilesUntilTheReassert(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(withCompare)
		defer end()
		h.waitUntil(time.Minute)
		before := h.sshLogins()
		h.ban("203.0.113.7", 100*time.Hour)
		h.ban("203.0.113.8", 5*time.Minute)
		e.Trigger()
		h.waitUntil(2 * time.Minute)
		h.want("a minute later", "203.0.113.7", "203.0.113.8")
		if s := h.status(); s.ToWrite != 2 || s.ToBlock != 0 || !s.Pending.IsZero() {
			t.Errorf("status says %+v, want 2 bans that the files lack", s)
		}
		h.waitUntil(7 * time.Minute)
		h.want("after the end of one", "203.0.113.7")
		if n := h.sshLogins() - before; n != 0 || len(h.fw.listed()) > 0 {
			t.Errorf("%d logins over SSH before the re-assert, the files list %v", n, h.fw.listed())
		}
		h.waitUntil(12 * time.Minute)
		if n := h.sshLogins() - before; n != 1 || !slices.Equal(h.fw.listed(), []string{"203.0.113.7"}) {
			t.Errorf("%d logins over SSH after the re-assert, want 1; the files list %v", n, h.fw.listed())
		}
		h.waitUntil(59 * time.Minute)
		if n := h.sshLogins() - before; n != 1 {
			t.Errorf("%d logins over SSH in an hour in which the files did not change, want 1", n)
		}
		h.waitUntil(80 * time.Minute)
		if n := h.sshLogins() - before; n != 2 {
			t.Errorf("%d logins over SSH after compare_every, want 2", n)
		}
	})
}

func TestTheLastBanThatEndsLeavesTheFilesWithTheReassert(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(withCompare)
		defer end()
		h.ban("203.0.113.7", 15*time.Minute)
		e.Trigger()
		h.waitUntil(14 * time.Minute)
		if listed := h.fw.listed(); len(listed) != 1 {
			t.Fatalf("the files list %v", listed)
		}
		h.waitUntil(16 * time.Minute)
		h.want("at its end")
		h.waitUntil(30 * time.Minute)
		if listed, n := h.fw.listed(), h.fw.count(); len(listed) > 0 {
			t.Errorf("the files list %v after %d flushes", listed, n)
		}
		before := h.fw.count()
		h.waitUntil(24 * time.Hour)
		if n := h.fw.count() - before; n != 0 {
			t.Errorf("%d flushes while nothing is in force", n)
		}
	})
}

func TestARebootBeforeTheReassertIsRepairedByIt(t *testing.T) {
	for _, without := range []bool{false, true} {
		t.Run(fmt.Sprintf("without SSH: %v", without), func(t *testing.T) {
			runTest(t, func(h *harness) {
				change := withCompare
				if without {
					change = withoutSSH(h)
				}
				e, end := h.startEnforcer(change)
				defer end()
				h.ban("203.0.113.7", 100*time.Hour)
				e.Trigger()
				h.waitUntil(15 * time.Minute)
				h.ban("203.0.113.8", 100*time.Hour)
				e.Trigger()
				h.waitUntil(16 * time.Minute)
				h.fw.set(func() { clear(h.fw.entries) })
				h.waitUntil(26 * time.Minute)
				h.want("after reassert_every", "203.0.113.7", "203.0.113.8")
			})
		})
	}
}

// The files of the other member may be older than those that the plugin wrote last.
func TestAFailoverIsRepairedByTheNextReassert(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.serial = "A"
		e, end := h.startEnforcer(func(c *enforcer.Config) {
			edge(c)
			withCompare(c)
		})
		defer end()
		h.ban("203.0.113.7", 100*time.Hour)
		e.Trigger()
		h.waitUntil(45 * time.Minute)
		h.fw.replace("B")
		h.fw.set(func() {
			h.fw.files = map[netip.Prefix]bool{single("203.0.113.50"): true}
			h.fw.version++
		})
		h.waitUntil(56 * time.Minute)
		h.want("after reassert_every", "203.0.113.7")
	})
}

func TestOnlyConnectionsOfNewLocalDetectionsAreCut(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(func(c *enforcer.Config) { c.Cut = true })
		defer end()
		h.waitUntil(time.Minute)
		h.recordDecision("203.0.113.1/32", "crowdsec", 100*time.Hour)
		h.recordDecision("203.0.113.2/32", "lists:tor", 100*time.Hour)
		h.recordDecision("203.0.113.3/32", "cscli-import", 100*time.Hour)
		e.Trigger()
		h.waitUntil(20 * time.Hour) // with many re-asserts
		if want := []netip.Prefix{netip.MustParsePrefix("203.0.113.1/32")}; !slices.Equal(h.fw.cut, want) {
			t.Errorf("the connections of %v were cut, want %v", h.fw.cut, want)
		}
	})
}
