package acceptance_test

import (
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/snstest"
)

func TestCheckAndWriteNamesTextThatALoginShellPrints(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"/bin/sh", "/bin/csh"} {
		h := start(t, func(o *snstest.Options) { o.LoginShell = login })
		h.Sim.SetFaults(func(f *snstest.Faults) { f.ShellPrints = "Welcome to the firewall!\nobject 1 2\nhas 7" })
		findings := h.checkAndWrite()
		if err := acceptance.FirstFault(findings); err != nil {
			t.Errorf("%s: %v", login, err)
		}
		if f := finding(findings, "login shell"); f.Verdict != acceptance.Differs || !strings.Contains(f.Detail, "Welcome to the firewall!") {
			t.Errorf("%s: found %+v", login, f)
		}
		h.WantInForce()
	}
}

// A login shell that prints nothing and a server that sends nothing are different faults.
func TestCheckDoesNotBlameTheLoginShellForASilentServer(t *testing.T) {
	t.Parallel()
	h := start(t)
	config := configFor(t, h.Sim)
	config.SSH.Timeout = 2 * time.Second
	h.Sim.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = "sleep 60" })
	go func() {
		for h.Sim.Stats().SSHCommandCount == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		h.Sim.SetFaults(func(f *snstest.Faults) { f.SSHHang = true })
	}()
	f := finding(acceptance.Check(t.Context(), stormshield.New(config)), "login shell")
	if f.Err == nil || !strings.Contains(f.Err.Error(), "sent nothing for 2s") || strings.Contains(f.Hint, "login shell") {
		t.Errorf("found %v (hint: %s)", f.Err, f.Hint)
	}
}

func TestCheckAndWriteWorksWhereTheServerTakesOneSessionAtATime(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.SSHMaxSessions = 1 })
	if err := acceptance.FirstFault(h.checkAndWrite()); err != nil {
		t.Error(err)
	}
}
