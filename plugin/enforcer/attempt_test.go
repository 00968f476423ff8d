package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/enforcer"
)

func TestAnAttemptIsReportedBeforeTheFirstBlock(t *testing.T) {
	runTest(t, func(h *harness) {
		var attempts []string
		e, end := h.startEnforcer(func(c *enforcer.Config) {
			c.OnAttempt = func(_ context.Context, prefixes []netip.Prefix) error {
				attempts = append(attempts, fmt.Sprint(prefixes, " with ", len(h.fw.entries), " entries"))
				return nil
			}
		})
		defer end()
		h.ban("203.0.113.7", 10*time.Minute)
		h.ban("203.0.113.8", 10*time.Minute)
		e.Trigger()
		h.waitUntil(time.Minute)
		h.want("after the first flush", "203.0.113.7", "203.0.113.8")
		h.ban("203.0.113.9", 5*time.Minute)
		e.Trigger()
		h.waitUntil(time.Hour) // the flushes that unblock block nothing
		h.want("in the end")
		want := "[203.0.113.7/32 203.0.113.8/32] with 0 entries\n[203.0.113.9/32] with 2 entries"
		if got := strings.Join(attempts, "\n"); got != want {
			t.Errorf("the attempts:\n%s\nwant:\n%s", got, want)
		}
	})
}

func TestAFlushBlocksAlsoIfTheAttemptCannotBeRecorded(t *testing.T) {
	for name, fails := range map[string]func() error{
		"an error": func() error { return errors.New("the disk is full") },
		"a panic":  func() error { panic("the disk is full") },
	} {
		t.Run(name, func(t *testing.T) {
			runTest(t, func(h *harness) {
				e, end := h.startEnforcer(func(c *enforcer.Config) {
					c.OnAttempt = func(context.Context, []netip.Prefix) error { return fails() }
				})
				defer end()
				h.ban("203.0.113.7", time.Hour)
				e.Trigger()
				h.waitUntil(time.Minute)
				h.want("with a full disk", "203.0.113.7")
				if !strings.Contains(h.log.String(), "the disk is full") {
					t.Errorf("the log is %s", h.log)
				}
			})
		})
	}
}
