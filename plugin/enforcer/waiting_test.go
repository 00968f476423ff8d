package enforcer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
)

// No Local API takes part in this test: what waits is known.
func TestADetectionIsBlockedAtOnceAlsoIfAnImportFillsTheLimit(t *testing.T) {
	runTest(t, func(h *harness) {
		const limit = 100
		e, end := h.startEnforcer(func(c *enforcer.Config) { c.MaxBans = limit })
		defer end()
		record := func(decisions ...ban.Decision) {
			if _, err := h.ledger.Record(context.Background(), decisions, time.Now(), limit); err != nil {
				t.Fatal(err)
			}
			e.Trigger()
		}
		var imported []ban.Decision
		var addresses []string
		for i := range limit {
			address := fmt.Sprintf("198.51.100.%d", i)
			addresses = append(addresses, address)
			imported = append(imported, ban.Decision{Prefix: single(address), RangeBits: 32, Type: "ban", Origin: "cscli-import", Until: h.start.Add(24 * time.Hour)})
		}
		slices.Sort(addresses)
		record(imported...)
		h.waitUntil(10 * time.Minute)
		h.want("with the import", addresses...)

		record(ban.Decision{Prefix: single("203.0.113.7"), RangeBits: 32, Type: "ban", Origin: "crowdsec", Until: time.Now().Add(time.Hour)})
		h.waitUntil(10*time.Minute + 1300*time.Millisecond) // the debounce and 0.3 s
		blocked := h.fw.blocked()
		if len(blocked) != limit || !slices.Contains(blocked, "203.0.113.7") {
			t.Errorf("0.3 s after the debounce: %v", blocked)
		}
		h.waitUntil(time.Hour + 10*time.Minute)
		h.want("when it has ended", addresses...)
	})
}

func TestTheLogReportsWaitingBansAgain(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(func(c *enforcer.Config) { c.MaxBans = 2 })
		defer end()
		lines := func() int { return strings.Count(h.log.String(), "those that matter least wait") }
		ban := func(count int, lasts time.Duration) {
			for i := range count {
				h.ban(fmt.Sprintf("203.0.113.%d", i), lasts)
			}
			e.Trigger()
		}
		ban(3, 5*time.Minute)
		h.waitUntil(time.Minute)
		if n := lines(); n != 1 {
			t.Errorf("%d lines when one waits", n)
		}
		h.waitUntil(6 * time.Minute) // none waits
		ban(3, 5*time.Minute)
		h.waitUntil(9 * time.Minute)
		if n := lines(); n != 1 {
			t.Errorf("%d lines within ten minutes", n)
		}
		h.waitUntil(20 * time.Minute) // none waits
		ban(3, 5*time.Hour)
		h.waitUntil(21 * time.Minute)
		if n := lines(); n != 2 {
			t.Errorf("%d lines when one waits again", n)
		}
		ban(4, 6*time.Hour) // as many wait
		h.waitUntil(40 * time.Minute)
		ban(9, 7*time.Hour)
		h.waitUntil(41 * time.Minute)
		if n := lines(); n != 3 {
			t.Errorf("%d lines when many more wait:\n%s", n, h.log)
		}
	})
}

func TestAWaitingBanIsBlockedWhenTheBanBeforeItLosesItsDecision(t *testing.T) {
	runTest(t, func(h *harness) {
		e, end := h.startEnforcer(func(c *enforcer.Config) { c.MaxBans = 1 })
		defer end()
		h.waitUntil(time.Minute)
		record := func(address, origin string, lasts time.Duration) {
			d := ban.Decision{Prefix: single(address), RangeBits: 32, Type: "ban", Origin: origin, Until: time.Now().Add(lasts)}
			if _, err := h.ledger.Record(context.Background(), []ban.Decision{d}, time.Now(), 1); err != nil {
				t.Fatal(err)
			}
		}
		record("203.0.113.1", "crowdsec", 2*time.Minute)
		record("203.0.113.1", "lists:tor", 20*time.Hour)
		record("203.0.113.2", "cscli-import", 20*time.Hour)
		e.Trigger()
		h.waitUntil(2 * time.Minute)
		h.want("at first", "203.0.113.1")
		h.waitUntil(4 * time.Minute)
		h.want("when the detection has ended", "203.0.113.2")
	})
}
