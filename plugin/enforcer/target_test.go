package enforcer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
)

func edge(c *enforcer.Config) {
	c.Target = ledger.Target{Host: "192.0.2.1:443", Group: "Crowdsec", DeleteGroup: "Gone"}
}

// eachNumberOfBans runs a test with few bans, which are blocked one by one, and with more.
func eachNumberOfBans(t *testing.T, test func(h *harness, addresses []string)) {
	for _, n := range []int{2, 5} {
		t.Run(fmt.Sprintf("%d bans", n), func(t *testing.T) {
			runTest(t, func(h *harness) {
				h.fw.singleMax, h.fw.serial = 3, "A"
				var addresses []string
				for i := range n {
					addresses = append(addresses, fmt.Sprintf("203.0.113.%d", i+1))
					h.ban(addresses[i], 100*time.Hour)
				}
				test(h, addresses)
			})
		})
	}
}

// recordSerialNumber runs two processes, of which the second records the serial number. Then the time of the test begins.
func (h *harness) recordSerialNumber() {
	h.t.Helper()
	for i := range 2 {
		if _, err := h.ledger.RequestFlush(context.Background()); err != nil {
			h.t.Fatal(err)
		}
		_, end := h.startEnforcer(edge)
		h.waitUntil(time.Duration(i+1) * time.Minute)
		end()
	}
	if target, err := h.ledger.Target(context.Background()); err != nil || target.Serial != h.fw.serial {
		h.t.Fatalf("the ledger knows the serial number %q, want %q (%v)", target.Serial, h.fw.serial, err)
	}
	h.start = time.Now()
}

func TestANewHostBlocksAllBansAtOnce(t *testing.T) {
	eachNumberOfBans(t, func(h *harness, addresses []string) {
		_, end := h.startEnforcer(edge)
		h.waitUntil(time.Minute)
		h.want("on the first appliance", addresses...)
		end()
		other := newFirewall()
		other.singleMax = 3
		_, end = h.startEnforcer(func(c *enforcer.Config) {
			edge(c)
			c.Appliance, c.Target.Host = other, "192.0.2.2:443"
		})
		defer end()
		h.waitUntil(61 * time.Second)
		if got := other.blocked(); !slices.Equal(got, addresses) {
			h.t.Errorf("on the second appliance: blocked %v, want %v", got, addresses)
		}
		if !strings.Contains(h.log.String(), "names another appliance") {
			h.t.Errorf("the log lacks this line:\n%s", h.log)
		}
	})
}

func TestARestartWithTheSameApplianceSendsNothing(t *testing.T) {
	eachNumberOfBans(t, func(h *harness, _ []string) {
		_, end := h.startEnforcer(edge)
		h.waitUntil(time.Minute)
		end()
		before := h.fw.count()
		_, end = h.startEnforcer(edge)
		defer end()
		h.waitUntil(2 * time.Minute)
		if n := h.fw.count() - before; n != 0 {
			h.t.Errorf("%d flushes after a restart, want none", n)
		}
	})
}

func TestAReplacedApplianceBlocksAllBansInTheSameFlush(t *testing.T) {
	eachNumberOfBans(t, func(h *harness, addresses []string) {
		h.recordSerialNumber()
		h.fw.replace("B")
		e, end := h.startEnforcer(edge)
		defer end()
		h.ban("203.0.113.50", 100*time.Hour)
		e.Trigger()
		h.waitUntil(time.Second) // the debounce
		h.want("after the first flush of a new process", append(addresses, "203.0.113.50")...)
		if n := strings.Count(h.log.String(), "it was replaced, or the other member of an HA pair took over"); n != 1 {
			h.t.Errorf("the log has this line %d times:\n%s", n, h.log)
		}

		h.fw.replace("A") // a failover, and no other change
		h.waitUntil(11 * time.Minute)
		h.want("after the next re-assert", append(addresses, "203.0.113.50")...)
	})
}

func TestTheSerialNumberIsReadOncePerProcessAndOncePerHour(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.serial = "A"
		h.ban("203.0.113.7", 100*time.Hour)
		h.recordSerialNumber()
		for process := range 2 {
			before := h.fw.serialReadCount()
			e, end := h.startEnforcer(edge)
			for i := range 5 {
				h.ban(fmt.Sprintf("203.0.113.%d", 10*process+i+10), 100*time.Hour)
				e.Trigger()
				time.Sleep(time.Minute)
			}
			if n := h.fw.serialReadCount() - before; n != 1 {
				t.Errorf("asked %d times by the first five flushes of a process, want 1", n)
			}
			time.Sleep(70 * time.Minute)
			if n := h.fw.serialReadCount() - before; n != 2 {
				t.Errorf("asked %d times in 75 minutes, want 2", n)
			}
			end()
		}
	})
}

func TestAnApplianceWithoutASerialNumberCountsAsTheSame(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.serial = "A"
		h.ban("203.0.113.7", 100*time.Hour)
		h.recordSerialNumber()
		_, end := h.startEnforcer(edge)
		defer end()
		h.fw.set(func() { h.fw.serial = "" })
		h.waitUntil(70 * time.Minute)
		h.fw.set(func() { h.fw.serial = "A" })
		h.waitUntil(140 * time.Minute)
		if strings.Contains(h.log.String(), "another appliance") {
			t.Errorf("the log speaks of another appliance:\n%s", h.log)
		}
	})
}

func TestAReplacedApplianceStaysRecordedWhenItsFlushFails(t *testing.T) {
	eachNumberOfBans(t, func(h *harness, addresses []string) {
		h.recordSerialNumber()
		h.fw.replace("B")
		e, end := h.startEnforcer(edge)
		h.fw.set(func() { h.fw.fault = failAt(beforeBlocking) })
		h.ban("203.0.113.50", 100*time.Hour)
		e.Trigger()
		h.waitUntil(1500 * time.Millisecond)
		end() // before it is tried again
		h.fw.set(func() { h.fw.fault = nil })
		_, end = h.startEnforcer(edge)
		defer end()
		h.waitUntil(3 * time.Second)
		h.want("at the next try", append(addresses, "203.0.113.50")...)
	})
}

func TestTwoAppliancesThatAnswerInTurnAreAnError(t *testing.T) {
	runTest(t, func(h *harness) {
		h.fw.serial = "A"
		h.ban("203.0.113.7", 100*time.Hour)
		_, end := h.startEnforcer(edge)
		defer end()
		h.waitUntil(time.Minute)
		h.fw.set(func() {
			h.fw.fail = &appliance.OtherApplianceError{Serial: "B"}
		})
		h.waitUntil(12 * time.Minute)
		s, err := h.ledger.Status(context.Background(), time.Now())
		if err != nil || !strings.HasPrefix(s.Trouble.Text, "another appliance answers") {
			t.Errorf("status says %+v, %v", s.Trouble, err)
		}
		if n := h.fw.count(); n > 40 {
			t.Errorf("%d flushes in 12 minutes", n)
		}
	})
}

func TestRenamedGroupsAreRemovedOnceAndLogged(t *testing.T) {
	eachNumberOfBans(t, func(h *harness, addresses []string) {
		_, end := h.startEnforcer(edge)
		h.waitUntil(time.Minute)
		end()
		_, end = h.startEnforcer(func(c *enforcer.Config) {
			edge(c)
			c.Target.Group = "Blocked"
		})
		defer end()
		h.waitUntil(62 * time.Second)
		h.want("after the rename", addresses...)
		var last appliance.Change
		h.fw.set(func() { last = h.fw.changes[len(h.fw.changes)-1] })
		if got := fmt.Sprint(last.OldGroups); got != "[Crowdsec]" {
			h.t.Errorf("the appliance was given the old groups %s", got)
		}
		if !strings.Contains(h.log.String(), "the old groups are removed") {
			h.t.Errorf("the log lacks this line:\n%s", h.log)
		}
		before := h.fw.count()
		h.waitUntil(9 * time.Minute)
		if n := h.fw.count() - before; n != 0 {
			h.t.Errorf("%d flushes afterwards, want none before the re-assert", n)
		}
	})
}
