package snstest_test

import (
	"testing"

	"notification-stormshield/stormshield/snstest"
)

func TestModifyTakesItsWordsInAnyOrderAndCase(t *testing.T) {
	a := snstest.Start(t)
	for _, line := range []string{
		"MODIFY MONITOR FORCE ON", "modify monitor on force", "Modify Force On Monitor", "MODIFY MONITOR",
	} {
		c := connect(t, a)
		c.want(100, line)
		c.want(110, line)
		if held, _ := a.MonitorHeld(); !held || a.ModifyHeld() {
			t.Errorf("%s: not the monitor right alone", line)
		}
		c.want(100, "MODIFY OFF MONITOR")
		if held, _ := a.MonitorHeld(); held {
			t.Errorf("%s: still held after OFF", line)
		}
	}
	c := connect(t, a)
	c.want(200, "MODIFY ON OFF")
	c.want(200, "MODIFY MUCH")
}

func TestForceTakesTheConfigurationRightAndIsCounted(t *testing.T) {
	a := snstest.Start(t)
	a.AdminTakesModify()
	c := connect(t, a)
	c.want(204, "MODIFY ON")
	c.want(100, "MODIFY MONITOR ON FORCE")
	if s := a.Stats(); s.Evictions != 0 || !a.AdminHoldsModify() {
		t.Fatalf("%d evictions by the monitor right", s.Evictions)
	}
	c.want(100, "MODIFY ON FORCE")
	if s := a.Stats(); s.Evictions != 1 || a.AdminHoldsModify() {
		t.Errorf("%d evictions, want 1", s.Evictions)
	}
	a.AdminReleasesModify()
	if !a.ModifyHeld() {
		t.Error("the administrator released a right that was no longer theirs")
	}
}

func TestMonitorRightPassesFromHolderToHolder(t *testing.T) {
	a := snstest.Start(t)
	a.HoldMonitor()
	first, second := connect(t, a), connect(t, a)
	first.want(204, "MODIFY MONITOR ON")
	first.want(100, "MODIFY MONITOR ON FORCE")
	if s := a.Stats(); s.Evictions != 0 {
		t.Errorf("%d evictions", s.Evictions)
	}
	first.want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=192.0.2.1 Timeout=60")
	second.want(100, "MODIFY FORCE MONITOR")
	first.want(205, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=192.0.2.2 Timeout=60")
	second.want(100, "MONITOR ADDRESSLIST ADD Type=BlackList Name1=192.0.2.2 Timeout=60")
}

func TestAddressListsNeedARight(t *testing.T) {
	a := snstest.Start(t)
	c := connect(t, a)
	for _, line := range []string{
		"MONITOR ADDRESSLIST ADD Type=BlackList Name1=192.0.2.1 Timeout=60",
		"MONITOR ADDRESSLIST DELETE Type=BlackList Name1=192.0.2.1",
	} {
		c.want(205, line)
		c.want(100, "MODIFY ON")
		c.want(100, line)
		c.want(100, "MODIFY OFF")
	}
	c.want(100, "MONITOR ADDRESSLIST SHOW Type=BlackList")
}

func TestAccountWithoutMonWriteCannotMonitor(t *testing.T) {
	a := snstest.Start(t)
	a.SetFaults(func(f *snstest.Faults) { f.NoMonWrite, f.NoModify = true, true })
	c := connect(t, a)
	c.want(205, "MODIFY MONITOR FORCE ON")
	c.want(205, "MODIFY ON")
}
