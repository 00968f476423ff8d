package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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

func TestWhileSSHIsDownAddressesAreBlockedOverTheAPI(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(withCompare)
		defer end()
		h.recordDecision("203.0.113.1/32", "crowdsec", 100*time.Hour)
		e.Trigger()
		h.waitUntil(15 * time.Minute) // it is in the files
		h.fw.set(func() { h.fw.sshDown = errors.New("no route to the SSH port") })
		h.recordDecision("198.51.100.0/24", "crowdsec", 100*time.Hour)
		e.Trigger()
		h.waitUntil(20 * time.Minute)
		h.recordDecision("203.0.113.7/32", "crowdsec", 100*time.Hour)
		e.Trigger()
		h.waitUntil(20*time.Minute + 2*time.Second)
		h.want("right after its alert", "203.0.113.1", "203.0.113.7")
		var many []string
		for i := range 200 { // more than singleMax
			many = append(many, fmt.Sprintf("192.0.2.%d", i))
			h.recordDecision(many[i]+"/32", "lists:tor", 100*time.Hour)
		}
		e.Trigger()
		h.waitUntil(22 * time.Minute)
		slices.Sort(many)
		h.want("after a large change", append(many, "203.0.113.1", "203.0.113.7")...)
		if s := h.status(); s.ToBlock != 1 || s.Ranges != 1 || s.Files.Count == 0 || s.Files.Text != "no route to the SSH port" || s.Trouble.Count != 0 {
			t.Errorf("status says %+v", s)
		}
		h.waitUntil(60 * time.Minute)
		if n := h.sshLogins(); n < 10 || n > 40 {
			t.Errorf("%d tries over SSH, want one every 5 minutes or sooner", n)
		}
		if n := strings.Count(h.log.String(), "the appliance's files cannot be written"); n < 2 || n > 6 {
			t.Errorf("the log names the failure %d times in 45 minutes:\n%s", n, h.log)
		}
		h.fw.set(func() { h.fw.sshDown = nil })
		h.waitUntil(66 * time.Minute)
		if s := h.status(); s.ToBlock+s.ToWrite != 0 || s.Files.Count != 0 || len(h.fw.listed()) != 203 {
			t.Errorf("when SSH is back, the files list %d prefixes, status says %+v", len(h.fw.listed()), s)
		}
		if !strings.Contains(h.log.String(), "the appliance's files can be written again") {
			t.Errorf("the log does not name the end of the failure:\n%s", h.log)
		}
	})
}

func TestACommandOverSSHThatDoesNotEndCountsAsAFailureOfTheFiles(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(withCompare)
		defer end()
		h.waitUntil(time.Minute)
		h.fw.set(func() { h.fw.sshHangs = true })
		h.recordDecision("198.51.100.0/24", "crowdsec", 100*time.Hour)
		e.Trigger()
		h.waitUntil(5 * time.Minute)
		h.ban("203.0.113.7", 100*time.Hour)
		e.Trigger()
		h.waitUntil(17 * time.Minute)
		h.want("when the time of the flush is over", "203.0.113.7")
		if s := h.status(); s.Files.Count != 1 || s.Trouble.Count != 0 {
			t.Errorf("status says %+v", s)
		}
		h.fw.set(func() { h.fw.sshHangs = false })
		h.waitUntil(40 * time.Minute)
		h.want("in the end", "198.51.100.0", "203.0.113.7")
	})
}

func TestARebootWhileSSHIsDownIsRepairedByTheNextReassert(t *testing.T) {
	for name, change := range map[string]bool{"the files differ": true, "the files are right": false} {
		t.Run(name, func(t *testing.T) {
			runTest(t, func(h *harness) {
				e, end := h.startEnforcer(withCompare)
				defer end()
				h.recordDecision("198.51.100.0/24", "crowdsec", 100*time.Hour)
				h.ban("203.0.113.7", 100*time.Hour)
				e.Trigger()
				h.waitUntil(15 * time.Minute)
				want := []string{"198.51.100.0", "203.0.113.7"}
				h.fw.set(func() { h.fw.sshDown = errors.New("down") })
				if change {
					h.ban("203.0.113.8", 100*time.Hour)
					e.Trigger()
					want = append(want, "203.0.113.8")
				}
				h.waitUntil(80 * time.Minute) // the last comparison is older than compare_every
				h.want("before the reboot", want...)
				h.fw.set(func() { clear(h.fw.entries) })
				before := h.fw.count()
				h.waitUntil(91 * time.Minute)
				h.want("after reassert_every", want...)
				if n := h.fw.count() - before; n > 8 {
					t.Errorf("%d flushes in 11 minutes", n)
				}
				h.fw.set(func() { h.fw.sshDown = nil })
				h.waitUntil(110 * time.Minute)
				h.want("when SSH is back", want...)
				if s := h.status(); s.ToWrite != 0 || s.Files.Count != 0 {
					t.Errorf("status says %+v", s)
				}
			})
		})
	}
}

func TestRangesThatWaitForSSHCostFewFlushes(t *testing.T) {
	for _, addresses := range []int{0, 1, 200} {
		t.Run(fmt.Sprint(addresses), func(t *testing.T) {
			runTest(t, func(h *harness) {
				h.fw.sshDown = errors.New("down")
				e, end := h.startEnforcer(withCompare)
				defer end()
				h.recordDecision("198.51.100.0/24", "crowdsec", 100*time.Hour)
				for i := range addresses {
					h.ban(fmt.Sprintf("203.0.113.%d", i), 100*time.Hour)
				}
				e.Trigger()
				h.waitUntil(time.Hour)
				if n := h.fw.count(); n > 50 {
					t.Errorf("%d flushes in an hour", n)
				}
			})
		})
	}
}

func TestAFailureOfTheFilesEndsWhenNothingNeedsThem(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(withCompare)
		defer end()
		h.waitUntil(time.Minute)
		h.fw.set(func() { h.fw.sshDown = errors.New("down") })
		h.recordDecision("198.51.100.0/24", "crowdsec", 5*time.Minute)
		e.Trigger()
		h.waitUntil(5 * time.Minute)
		if s := h.status(); s.Files.Count == 0 {
			t.Errorf("status says %+v while a range waits", s)
		}
		h.waitUntil(15 * time.Minute)
		if s := h.status(); s.Files.Count != 0 || !s.Pending.IsZero() {
			t.Errorf("status says %+v when nothing is in force", s)
		}
	})
}

func TestBansStayBlockedWhenSSHStaysDownForDays(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.singleMax = 3
		e, end := h.startEnforcer(withCompare)
		defer end()
		var all []string
		for i := range 9 {
			all = append(all, fmt.Sprintf("203.0.113.%d", i))
			h.ban(all[i], 1000*time.Hour)
		}
		h.recordDecision("198.51.100.0/24", "crowdsec", 1000*time.Hour) // its object stays in the files
		all = append([]string{"198.51.100.0"}, all...)
		e.Trigger()
		h.waitUntil(time.Minute)
		h.fw.set(func() { h.fw.sshDown = errors.New("down") })
		for day := range 2 {
			h.waitUntil(time.Duration(day*24+23) * time.Hour)
			h.want(fmt.Sprint("on day ", day), all...)
		}
	})
}

func TestAFirstFlushWithoutSSHDoesNotKeepTheTakeoverFromHappening(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.blockByEarlierInstallation("203.0.113.50")
		h.fw.sshDown = errors.New("down")
		e, end := h.startEnforcer(withCompare)
		defer end()
		h.ban("203.0.113.7", 100*time.Hour)
		e.Trigger()
		h.waitUntil(10 * time.Minute)
		h.fw.set(func() { h.fw.sshDown = nil })
		h.waitUntil(20 * time.Minute)
		if want := []string{"203.0.113.50", "203.0.113.7"}; !slices.Equal(h.fw.listed(), want) {
			t.Errorf("the files list %v, want %v", h.fw.listed(), want)
		}
	})
}

func TestARequestTriesSSHAtOnce(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(withCompare)
		defer end()
		h.ban("203.0.113.7", 100*time.Hour)
		e.Trigger()
		h.fw.set(func() { h.fw.sshDown = errors.New("down") })
		h.waitUntil(30 * time.Minute)
		request, err := h.ledger.RequestFlush(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		h.waitUntil(30*time.Minute + 2*time.Second)
		if s := h.status(); s.Files.Request != request || s.Answered == request {
			t.Errorf("status says %+v, want a failure of request %d", s, request)
		}
		h.fw.set(func() { h.fw.sshDown = nil })
		request, _ = h.ledger.RequestFlush(context.Background())
		h.waitUntil(30*time.Minute + 4*time.Second)
		if s := h.status(); s.Answered != request || s.Files.Count != 0 {
			t.Errorf("status says %+v, want an answer to request %d", s, request)
		}
	})
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
