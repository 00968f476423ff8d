package main

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

func TestAFastRhythmTakesOneLoginAndLeavesNoSession(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	p := h.startPlugin(h.yaml(nil))
	for i, address := range []string{"203.0.113.7/32", "203.0.113.8/32", "203.0.113.9/32"} {
		if i == 2 { // the first flush has ended, which also writes the files
			h.sim.ResetStats()
		}
		prefix := netip.MustParsePrefix(address)
		h.ban(p, prefix)
		if _, err := h.sim.WaitBlocked(t.Context(), prefix); err != nil {
			t.Fatal(err)
		}
	}
	if s := h.sim.Stats(); s.APILoginsOK > 0 || s.SessionsOpen != 1 {
		t.Errorf("the last flush logged in %d times, and %d sessions are open", s.APILoginsOK, s.SessionsOpen)
	}
	p.Close()
	if n := h.sim.Stats().SessionsOpen; n > 0 {
		t.Errorf("%d sessions stay open", n)
	}
}

func TestLongAProcessLogsOutAtItsEnd(t *testing.T) {
	t.Parallel()
	binary := program(t)
	terminate := func(p *plugintest.Process) { _ = syscall.Kill(p.PID(), syscall.SIGTERM) }
	for name, c := range map[string]struct {
		end   func(*plugintest.Process)
		hangs bool // the appliance
	}{
		"CrowdSec asks for it":              {end: func(p *plugintest.Process) { p.Kill() }},
		"SIGTERM":                           {end: terminate},
		"SIGTERM, and the appliance hangs":  {end: terminate, hangs: true},
		"CrowdSec, and the appliance hangs": {end: func(p *plugintest.Process) { p.Kill() }, hangs: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			process, err := plugintest.Start(binary, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer process.Kill()
			if err := process.Configure(t.Context(), h.yaml(nil)); err != nil {
				t.Fatal(err)
			}
			if err := process.Notify(t.Context(), "test", plugintest.Ban(time.Hour, netip.MustParsePrefix("203.0.113.7/32")).Text()); err != nil {
				t.Fatal(err)
			}
			if _, err := process.Log().Wait(t.Context(), 0, func(l plugintest.Line) bool { return l.IsFlush() && l.Int("added") == 1 }); err != nil {
				t.Fatal(err)
			}
			if n := h.sim.Stats().SessionsOpen; n != 1 {
				t.Fatalf("%d sessions are open", n)
			}
			h.sim.SetFaults(func(f *snstest.Faults) { f.APIHang = c.hangs })
			began := time.Now()
			c.end(process)
			for !process.Exited() {
				if time.Since(began) > time.Minute {
					t.Fatal("the process does not end")
				}
				time.Sleep(time.Millisecond)
			}
			t.Logf("the process took %s to end", time.Since(began))
			if n := h.sim.Stats().SessionsOpen; !c.hangs && n > 0 {
				t.Errorf("%d sessions stay open", n)
			}
		})
	}
}
