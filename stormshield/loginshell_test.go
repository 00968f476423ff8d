package stormshield_test

import (
	"errors"
	"testing"
	"time"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

func TestAFlushThatNoShellRanIsAFailure(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"echo 'SRPClient>'", "true", "echo closed; exit 1", "cat"} {
		h := start(t)
		h.MustFlush(addresses(10), nil, true)
		h.Sim.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = text })
		patient, config := h.Client, configFor(t, h.Sim)
		config.SSH.Timeout = 2 * time.Second // cat never ends
		h.Client = stormshield.New(config)
		done, err := h.Flush(addresses(40)[10:], nil, false)
		var notRun *shell.NoShellError
		if !errors.As(err, &notRun) || done.Listed || done.Mark != "" {
			t.Errorf("%s: the flush came to %+v, %v", text, done, err)
		}
		h.Sim.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = "" })
		h.Client = patient
		h.MustFlush(addresses(40)[10:], nil, false)
		h.WantInForce()
	}
}

func TestAFlushIgnoresTextThatALoginShellPrints(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"/bin/sh", "/bin/csh"} {
		h := start(t, func(o *snstest.Options) { o.LoginShell = login })
		h.Sim.SetFaults(func(f *snstest.Faults) { f.ShellPrints = "Welcome to the firewall!\nobject 1 2\nhas 7" })
		h.MustFlush(append(addresses(20), prefixes("203.0.113.0/24")...), nil, false)
		compared := h.Compared
		h.MustFlush(addresses(40)[20:], addresses(5), false)
		if h.Compared != compared {
			t.Errorf("%s: the files were read whole again", login)
		}
		h.WantInForce()
	}
}

func TestAFlushWorksWhereTheServerTakesOneSessionAtATime(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.SSHMaxSessions = 1 })
	h.MustFlush(addresses(20), nil, true)
	h.WantInForce()
}
