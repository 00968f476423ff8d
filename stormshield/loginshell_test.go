package stormshield_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

func TestAFlushThatNoShellRanIsAFailure(t *testing.T) {
	for _, text := range []string{"echo 'SRPClient>'", "true", "echo closed; exit 1", "cat"} {
		p := start(t)
		config := configFor(t, p.sim)
		config.SSH.Timeout = time.Second
		p.app = stormshield.New(config)
		p.mustFlush(addresses(10), nil, true)
		p.sim.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = text })
		done, err := p.flush(addresses(40)[10:], nil, false)
		var notRun *shell.NoShellError
		if !errors.As(err, &notRun) || done.Listed || done.Mark != "" {
			t.Errorf("%s: the flush came to %+v, %v", text, done, err)
		}
		p.sim.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = "" })
		p.mustFlush(addresses(40)[10:], nil, false)
		p.wantStanding()
	}
}

func TestAFlushAndCheckWriteWorkBesideANoisyLoginShell(t *testing.T) {
	for _, login := range []string{"/bin/sh", "/bin/csh"} {
		p := start(t, func(o *snstest.Options) { o.LoginShell = login })
		p.sim.SetFaults(func(f *snstest.Faults) { f.ShellPrints = "Welcome to the firewall!\nobject 1 2\nhas 7" })
		p.mustFlush(append(addresses(20), prefixes("203.0.113.0/24")...), nil, false)
		compared := p.compared
		p.mustFlush(addresses(40)[20:], addresses(5), false)
		if p.compared != compared {
			t.Errorf("%s: the files were read whole again", login)
		}
		p.wantStanding()
		findings := p.app.Try(t.Context())
		if err := stormshield.FirstFault(findings); err != nil {
			t.Errorf("%s: %v", login, err)
		}
		if f := finding(findings, "login shell"); f.Verdict != stormshield.Differs || !strings.Contains(f.Detail, "Welcome to the firewall!") {
			t.Errorf("%s: found %+v", login, f)
		}
		p.wantStanding()
	}
}

// A login shell that is silent, and one of which nothing comes back, are different
// faults.
func TestCheckDoesNotBlameTheLoginShellForASilentServer(t *testing.T) {
	p := start(t)
	config := configFor(t, p.sim)
	config.SSH.Timeout = 500 * time.Millisecond
	p.sim.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = "sleep 60" })
	go func() {
		for p.sim.Stats().SSHCommandCount == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		p.sim.SetFaults(func(f *snstest.Faults) { f.SSHHang = true })
	}()
	f := finding(stormshield.New(config).Check(t.Context()), "login shell")
	if f.Err == nil || !strings.Contains(f.Err.Error(), "sent nothing for 500ms") || strings.Contains(f.Hint, "login shell") {
		t.Errorf("found %v (hint: %s)", f.Err, f.Hint)
	}
}

func TestCheckWorksWhereTheServerTakesOneSessionAtATime(t *testing.T) {
	p := start(t)
	p.sim.SetFaults(func(f *snstest.Faults) { f.SSHMaxSessions = 1 })
	if err := stormshield.FirstFault(p.app.Try(t.Context())); err != nil {
		t.Error(err)
	}
	p.mustFlush(addresses(20), nil, true)
	p.wantStanding()
}

func finding(findings []stormshield.Finding, subject string) stormshield.Finding {
	i := slices.IndexFunc(findings, func(f stormshield.Finding) bool { return f.Subject == subject })
	if i < 0 {
		return stormshield.Finding{Subject: "none about " + subject}
	}
	return findings[i]
}
