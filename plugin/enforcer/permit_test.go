package enforcer_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
)

func TestAFlushWithoutPermitIsNoFailure(t *testing.T) {
	runTest(t, func(h *harness) {
		var denied atomic.Bool
		denied.Store(true)
		e, end := h.startEnforcer(func(c *enforcer.Config) {
			c.Permit = func() error {
				if denied.Load() {
					return errors.New("another machine may flush")
				}
				return nil
			}
		})
		defer end()
		h.ban("203.0.113.7", time.Hour)
		e.Trigger()
		h.waitUntil(10 * time.Second)
		h.want("without a permit")
		status, err := h.ledger.Status(context.Background(), time.Now())
		if err != nil || status.Trouble != (ledger.Trouble{}) || h.log.String() != "" {
			t.Errorf("the trouble is %+v, %v, and the log is %s", status.Trouble, err, h.log)
		}
		denied.Store(false)
		h.waitUntil(time.Minute)
		h.want("with a permit", "203.0.113.7")
	})
}
