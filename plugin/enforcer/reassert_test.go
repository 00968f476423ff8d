package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
)

// reasserts returns how many flushes were re-asserts.
func (h *harness) reasserts() int {
	h.fw.mu.Lock()
	defer h.fw.mu.Unlock()
	n := 0
	for _, c := range h.fw.changes {
		if c.Reassert {
			n++
		}
	}
	return n
}

func TestTheFirstBanAfterAnIdleTimeNeedsNoReassert(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(time.Hour)
		first := h.reasserts() // with the first flush
		h.ban("203.0.113.7", 100*time.Hour)
		e.Trigger()
		h.waitUntil(time.Hour + time.Minute)
		h.want("a minute later", "203.0.113.7")
		h.ban("203.0.113.8", 100*time.Hour)
		e.Trigger()
		h.waitUntil(time.Hour + 9*time.Minute)
		if n := h.reasserts() - first; n != 0 {
			t.Errorf("%d re-asserts in the first nine minutes", n)
		}
		h.waitUntil(time.Hour + 11*time.Minute)
		if n := h.reasserts() - first; n != 1 {
			t.Errorf("%d re-asserts in the first eleven minutes, want 1", n)
		}
	})
}

func TestABanThatCouldNotBeBlockedByItselfIsReasserted(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(time.Hour)
		first := h.reasserts()
		h.fw.set(func() { h.fw.fault = failAt(afterBlocking) })
		h.ban("203.0.113.7", 100*time.Hour)
		e.Trigger()
		h.waitUntil(time.Hour + 10*time.Second)
		h.fw.set(func() { h.fw.fault = nil })
		h.waitUntil(time.Hour + 5*time.Minute)
		if n := h.reasserts() - first; n == 0 {
			t.Error("a flush failed before it confirmed the bans in force, and no re-assert followed")
		}
		h.want("afterwards", "203.0.113.7")
	})
}

func TestWithoutAReassertIntervalEntriesAreRenewedBeforeTheyEnd(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.life = time.Hour
		e, end := h.startEnforcer(func(c *enforcer.Config) { c.Reassert = 0 })
		defer end()
		h.ban("203.0.113.7", 100*time.Hour)
		e.Trigger()
		h.waitUntil(5 * time.Minute)
		before := h.fw.count()
		h.ban("203.0.113.8", 50*time.Hour)
		e.Trigger()
		for minutes := 6; minutes < 120; minutes++ {
			h.waitUntil(time.Duration(minutes) * time.Minute)
			h.want(fmt.Sprintf("after %d minutes", minutes), "203.0.113.7", "203.0.113.8")
		}
		if n := h.fw.count() - before; n != 4 { // the second ban, and every half hour
			t.Errorf("%d flushes in two hours, want 4", n)
		}
	})
}

func TestAllBansAreReadOnlyWhenTheFilesChanged(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		defer end()
		for i := range 20 {
			h.ban(fmt.Sprintf("203.0.113.%d", i), time.Duration(i+1)*time.Minute)
			e.Trigger()
			h.waitUntil(time.Duration(i+1) * time.Minute)
		}
		h.waitUntil(time.Hour)
		h.want("at the end")
		if h.fw.fullReads != 1 || len(h.fw.listed()) > 0 {
			t.Errorf("%d flushes asked for all bans in force, want 1; the files list %v", h.fw.fullReads, h.fw.listed())
		}
		h.fw.set(func() { h.fw.version++ }) // another program wrote the files
		h.ban("203.0.113.50", time.Hour)
		e.Trigger()
		h.waitUntil(80 * time.Minute) // the next re-assert has passed
		if h.fw.fullReads != 2 {
			t.Errorf("%d flushes asked for all bans in force after another program wrote the files, want 2", h.fw.fullReads)
		}
	})
}

func TestARetriedTakeoverTakesOverNothingElse(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.blockByEarlierInstallation("203.0.113.50")
		h.ban("203.0.113.7", 10*time.Minute)
		h.fw.fault = failAt(afterWriting)
		_, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(5 * time.Second)
		h.fw.set(func() { h.fw.fault = nil })
		h.waitUntil(5 * time.Minute)
		h.want("once it worked", "203.0.113.50", "203.0.113.7")
		h.waitUntil(11 * time.Minute)
		h.want("after the end of a ban of ours", "203.0.113.50")
		if n := strings.Count(h.log.String(), "took over"); n != 1 {
			t.Errorf("the log speaks of %d takeovers:\n%s", n, h.log)
		}
	})
}

func TestTheLogOfAFlushCountsTheBansInForce(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.blockByEarlierInstallation("203.0.113.50", "203.0.113.51")
		h.ban("203.0.113.7", time.Hour)
		_, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(time.Minute)
		if !strings.Contains(h.log.String(), "added=3 removed=0 leftovers=0 total=3 reasserted=true") {
			t.Errorf("the log of a first flush:\n%s", h.log)
		}
	})
}

func TestAFailedFlushKeepsTheMark(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(time.Minute)
		h.fw.set(func() { h.fw.fail = errors.New("refused") })
		h.ban("203.0.113.7", time.Hour)
		e.Trigger()
		h.waitUntil(2 * time.Minute)
		p, err := h.ledger.Plan(context.Background(), ledger.PlanOptions{Now: time.Now()})
		if err != nil || p.Mark != h.fw.mark() {
			t.Errorf("the mark is %q, want %q (%v)", p.Mark, h.fw.mark(), err)
		}
		h.fw.set(func() { h.fw.fail = nil })
		h.waitUntil(10 * time.Minute)
		h.want("afterwards", "203.0.113.7")
		if h.fw.fullReads != 1 {
			t.Errorf("%d flushes asked for all bans in force", h.fw.fullReads)
		}
	})
}

func TestAClockThatIsSetBackCausesAReassert(t *testing.T) {
	runTest(t, func(h *harness) {
		h.ban("203.0.113.7", 100*time.Hour)
		h.recordConfirmation(time.Now().Add(72 * time.Hour)) // by the clock before it is set back
		before := h.reasserts()
		_, end := h.startEnforcer(nil)
		defer end()
		h.waitUntil(time.Minute)
		h.want("after the clock was set back", "203.0.113.7")
		if n := h.reasserts() - before; n != 1 {
			t.Errorf("%d re-asserts in a minute, want 1", n)
		}
	})
}

// recordConfirmation records that the appliance blocked everything in force at a time.
func (h *harness) recordConfirmation(at time.Time) {
	h.t.Helper()
	p, err := h.ledger.Plan(context.Background(), ledger.PlanOptions{Now: at, Renew: at, SingleMax: 16})
	if err != nil {
		h.t.Fatal(err)
	}
	o := appliance.Outcome{Listed: true, Cleared: true, Asserted: at, AssertedUntil: at.Add(24 * time.Hour), At: at}
	if _, err := h.ledger.RecordOutcome(context.Background(), p, o, at); err != nil {
		h.t.Fatal(err)
	}
}
