package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

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
