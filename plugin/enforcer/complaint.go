package enforcer

import (
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin/ledger"
)

// repeatEvery is how often the same trouble is said again.
const repeatEvery = 10 * time.Minute

// complaint says what goes wrong: at once when it is new, then every ten
// minutes with a count, and once when it is over.
type complaint struct {
	log hclog.Logger

	mu      sync.Mutex
	subject string // what it is about, without what changes from one time to the next
	said    time.Time
	count   int // how often since it was said
	held    time.Time
}

// about takes note of an error; nil says nothing.
func (c *complaint) about(err error, now time.Time) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	text := err.Error()
	if s := withoutNumbers(text); s != c.subject {
		c.subject, c.said, c.count = s, now, 0
		c.log.Error(text)
		return
	}
	c.count++
	if now.Sub(c.said) >= repeatEvery {
		c.log.Error(text, "repeated", c.count)
		c.said, c.count = now, 0
	}
}

// heldOff says once a hold-off that nobody tries to log in, and why.
func (c *complaint) heldOff(h ledger.HoldOff) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !h.Until.Equal(c.held) {
		c.held = h.Until
		c.log.Error("no further login is tried, so as not to lock the account: bans are recorded and not enforced",
			"until", h.Until.Format(time.RFC3339), "refused", h.Failures, "reason", h.Reason,
			"hint", "correct the account in the notification's YAML and reload CrowdSec: that is tried at once")
	}
}

// over says that what was complained about works again.
func (c *complaint) over() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subject != "" || !c.held.IsZero() {
		c.log.Info("the appliance follows again", "unsaid", c.count)
	}
	c.subject, c.count, c.held = "", 0, time.Time{}
}

// withoutNumbers leaves out ports, times and counts, so that the same trouble
// reads the same.
func withoutNumbers(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}
