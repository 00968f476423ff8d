package stormshield_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/snstest"
)

var errOther = errors.New("another machine may flush")

// permits denies one call of Permit, and permits all others.
type permits struct {
	harness *harness
	deny    int // the number of the denied call, from 1; 0: none

	mu    sync.Mutex
	calls int
	files string // as they were at the denied call
}

func (p *permits) ask() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls++; p.calls != p.deny {
		return nil
	}
	p.files = p.harness.filesText()
	return errOther
}

func (h *harness) filesText() string {
	return string(h.Sim.Read("object")) + string(h.Sim.Read("objectgroup"))
}

// steps counts the logins and commands that the appliance has seen, without those that need no permit.
func (h *harness) steps() int {
	s := h.Sim.Stats()
	commands := slices.DeleteFunc(s.APICommands, func(c string) bool { return c == "MODIFY MONITOR OFF" })
	return s.APILoginsOK + len(commands) + s.SSHAuthOK + s.SSHCommandCount
}

// permitScenario prepares an appliance, and returns a flush with every step of a kind.
type permitScenario func(t *testing.T) (*harness, func() (appliance.Outcome, error))

func permitScenarios() map[string]permitScenario {
	with := func(prepare func(*harness, *stormshield.Config), flush func(*harness) (appliance.Outcome, error)) permitScenario {
		return func(t *testing.T) (*harness, func() (appliance.Outcome, error)) {
			h := start(t)
			config := configFor(t, h.Sim)
			prepare(h, &config)
			h.Client = stormshield.New(config)
			t.Cleanup(h.Client.LogOut)
			return h, func() (appliance.Outcome, error) { return flush(h) }
		}
	}
	nothing := func(*harness, *stormshield.Config) {}
	filled := func(h *harness, _ *stormshield.Config) { h.MustFlush(addresses(12), nil, true) }
	return map[string]permitScenario{
		"few addresses": with(nothing, func(h *harness) (appliance.Outcome, error) { return h.Flush(addresses(3), nil, false) }),
		"few addresses over the API": with(func(h *harness, _ *stormshield.Config) { h.OverAPI = true },
			func(h *harness) (appliance.Outcome, error) { return h.Flush(addresses(3), nil, false) }),
		"a session of before": with(nothing, nil).resumed(),
		"many addresses":      with(nothing, func(h *harness) (appliance.Outcome, error) { return h.Flush(addresses(9), nil, true) }),
		"many addresses, sent whole": with(func(h *harness, _ *stormshield.Config) {
			h.Sim.SetFaults(func(f *snstest.Faults) { f.MissingTools = []string{"awk", "cksum"} })
		}, func(h *harness) (appliance.Outcome, error) { return h.Flush(addresses(9), nil, true) }),
		"ranges": with(nothing, func(h *harness) (appliance.Outcome, error) {
			return h.Flush(prefixes("203.0.113.0/24", "198.51.100.7/32"), nil, false)
		}),
		"many removals": with(filled, func(h *harness) (appliance.Outcome, error) { return h.Flush(addresses(14)[12:], addresses(8), false) }),
		"few removals":  with(filled, func(h *harness) (appliance.Outcome, error) { return h.Flush(addresses(13)[12:], addresses(2), false) }),
		"a re-assert over the API": with(func(h *harness, _ *stormshield.Config) { filled(h, nil); h.OverAPI = true; h.Sim.Reboot() },
			func(h *harness) (appliance.Outcome, error) { return h.Flush(nil, nil, true) }),
		"another group": with(filled, func(h *harness) (appliance.Outcome, error) { return h.rename("Blocked", "Crowdsec")() }),
		"a reload": with(func(h *harness, c *stormshield.Config) {
			h.Sim.SetFaults(func(f *snstest.Faults) { f.StaleUntilReload = true })
			c.ReloadCommand = "enobject"
		},
			func(h *harness) (appliance.Outcome, error) { return h.Flush(addresses(9), nil, true) }),
	}
}

// resumed is a scenario whose flush resumes the session of an earlier flush.
func (permitScenario) resumed() permitScenario {
	return func(t *testing.T) (*harness, func() (appliance.Outcome, error)) {
		h := startIdle(t, time.Minute)
		h.flushOne(0)
		return h, func() (appliance.Outcome, error) { return h.Flush(addresses(3)[1:], addresses(1), false) }
	}
}

func TestADeniedPermitEndsAFlushBeforeItsNextStep(t *testing.T) {
	t.Parallel()
	for name, prepare := range permitScenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				if !denyAt(t, prepare, n) {
					if n <= 3 {
						t.Errorf("the flush asked for %d permits only", n-1)
					}
					return
				}
			}
		})
	}
}

// denyAt denies the nth permit of a flush. It reports whether the flush asked so often.
func denyAt(t *testing.T, prepare permitScenario, n int) bool {
	t.Helper()
	h, flush := prepare(t)
	h.Sim.ResetStats()
	p := &permits{harness: h, deny: n}
	h.Permit = p.ask
	done, err := flush()
	steps := h.steps()
	if p.calls < n {
		if err != nil || steps == 0 || steps > p.calls {
			t.Errorf("with %d permits the flush did %d steps: %v", p.calls, steps, err)
		}
		h.LogOut()
		h.WantInForce()
		return false
	}
	at := fmt.Sprintf("permit %d denied", n)
	var denied *appliance.NotPermittedError
	if !errors.As(err, &denied) || !errors.Is(err, errOther) || errors.As(err, new(*appliance.FilesError)) || !done.At.IsZero() {
		t.Errorf("%s: %v, %+v", at, err, done)
	}
	if steps > n-1 {
		t.Errorf("%s: the appliance saw %d steps: %q, %q", at, steps, h.Sim.Stats().APICommands, h.Sim.Stats().SSHCommands)
	}
	if h.filesText() != p.files {
		t.Errorf("%s: the files changed afterwards", at)
	}
	if held, _ := h.Sim.MonitorHeld(); held {
		t.Errorf("%s: the monitor right stays held", at)
	}
	h.Permit = nil
	if done, err := flush(); err != nil {
		t.Errorf("%s: the next flush: %v, %+v", at, err, done)
	}
	h.LogOut()
	h.WantInForce()
	return true
}

// LogOut ends the session that the client keeps.
func (h *harness) LogOut() {
	h.Client.LogOut()
	h.wantNoSession()
}

func TestAnUploadEndsWithoutEffectIfThePermitIsDeniedMeanwhile(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(10), nil, true)
	before := h.filesText()
	h.Sim.ResetStats()
	h.Permit = func() error {
		if h.Sim.Stats().SSHCommandCount > 0 { // the command that receives the program and its data
			return errOther
		}
		return nil
	}
	if _, err := h.Flush(addresses(20), nil, false); !errors.Is(err, errOther) || !strings.Contains(err.Error(), "rewrite the files") {
		t.Errorf("the error is %v", err)
	}
	if n := h.Sim.Stats().SSHUploaded; n == 0 || h.filesText() != before {
		t.Errorf("uploaded %d bytes, and the files changed: %t", n, h.filesText() != before)
	}
	h.Permit = nil
	h.MustFlush(addresses(20), nil, false)
	h.WantInForce()
}
