package enforcer

import (
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin/lockout"
)

// repeatEvery is how often the same trouble is logged again.
const repeatEvery = 10 * time.Minute

// complaint logs a trouble: at once when it is new, then every ten minutes with a
// count, and once when it is over.
type complaint struct {
	log hclog.Logger

	mu      sync.Mutex
	subject string    // the text without its numbers; "": there is no trouble
	said    time.Time // when it was last logged
	count   int       // how often it occurred since then
	held    time.Time // the end of the hold-off that was logged
}

// about logs an error at a level; nil: it logs nothing.
func (c *complaint) about(err error, level hclog.Level, now time.Time) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.say(level, err.Error(), now)
}

// say logs a text unless it logged the same text within the last ten minutes. The
// caller holds mu.
func (c *complaint) say(level hclog.Level, text string, now time.Time, details ...any) {
	if s := withoutNumbers(text); s != c.subject {
		c.subject, c.said, c.count = s, now, 0
		c.log.Log(level, text, details...)
		return
	}
	c.count++
	if now.Sub(c.said) >= repeatEvery {
		c.log.Log(level, text, append(details, "repeated", c.count)...)
		c.said, c.count = now, 0
	}
}

// heldOff logs a login hold-off once, with its reason.
func (c *complaint) heldOff(h lockout.HoldOff, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.Until.Equal(c.held) {
		return
	}
	c.held = h.Until
	c.say(hclog.Error, "no further login is tried for now, bans are recorded and not enforced: "+h.Reason, now,
		"until", h.Until.Format(time.RFC3339), "failed", h.Failures, "hint", h.Advice())
}

// end logs that the trouble is over, if there was one.
func (c *complaint) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subject != "" {
		c.log.Info("the appliance follows again", "unlogged", c.count)
	}
	c.subject, c.count, c.held = "", 0, time.Time{}
}

// withoutNumbers leaves out ports, times and counts, in which two texts about the
// same trouble may differ.
func withoutNumbers(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}
