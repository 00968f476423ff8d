package snstest_test

import (
	"net/netip"
	"slices"
	"testing"

	"notification-stormshield/stormshield/snstest"
)

func TestFlushStateIsRecorded(t *testing.T) {
	a := snstest.Start(t)
	c := connect(t, a)
	c.want(205, "MONITOR FLUSH STATE 192.0.2.1")
	c.want(100, "MODIFY MONITOR FORCE ON")
	c.want(100, "MONITOR FLUSH STATE 192.0.2.1")
	c.want(100, "monitor flush state 2001:db8::a")
	for _, argument := range []string{"", " 192.0.2.0/24", " srv_web", " 192.0.2.1 192.0.2.2"} {
		c.want(200, "MONITOR FLUSH STATE"+argument)
	}
	if got, want := a.FlushedStates(), []netip.Addr{addr("192.0.2.1"), addr("2001:db8::a")}; !slices.Equal(got, want) {
		t.Errorf("flushed %v, want %v", got, want)
	}
	a.ResetStats()
	if got := a.FlushedStates(); len(got) != 0 {
		t.Errorf("flushed %v after ResetStats", got)
	}
}

func TestFlushStateIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		ret int
		set func(*snstest.Faults)
	}{
		"no privilege log":       {205, func(f *snstest.Faults) { f.NoLog = true }},
		"no privilege mon_write": {205, func(f *snstest.Faults) { f.NoMonWrite = true }},
		"unknown command":        {200, func(f *snstest.Faults) { f.Ret = map[string]int{"MONITOR FLUSH STATE": 200} }},
	} {
		t.Run(name, func(t *testing.T) {
			a := snstest.Start(t)
			a.SetFaults(c.set)
			session := connect(t, a)
			session.run("MODIFY MONITOR FORCE ON")
			session.want(c.ret, "MONITOR FLUSH STATE 192.0.2.1")
			if got := a.FlushedStates(); len(got) != 0 {
				t.Errorf("flushed %v", got)
			}
		})
	}
}
