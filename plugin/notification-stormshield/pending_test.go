package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
)

// record records a ban of an earlier alert.
func (h *harness) record(address string, ago time.Duration) {
	h.t.Helper()
	d := ban.Decision{Prefix: netip.PrefixFrom(netip.MustParseAddr(address), 32), RangeBits: 32, Type: "ban", Until: time.Now().Add(time.Hour)}
	if _, err := h.openLedger().Record(h.t.Context(), []ban.Decision{d}, time.Now().Add(-ago), 1000); err != nil {
		h.t.Fatal(err)
	}
}

// hold takes the lease, as a running plugin does.
func (h *harness) hold() *lease.Lease {
	h.t.Helper()
	held, err := lease.Try(plugin.StateOf(h.document()).Lease)
	if err != nil || held == nil {
		h.t.Fatal(held, err)
	}
	return held
}

// The state holds no error if its disk is full or a flush hangs.
func TestStatusReportsBansThatArePendingForTooLong(t *testing.T) {
	for ago, works := range map[time.Duration]bool{30 * time.Second: true, time.Hour: false} {
		h := newHarness(t)
		h.record("203.0.113.7", ago)
		held := h.hold()
		status, out, _ := h.run("status", "-c", h.file)
		if works != (status == 0) || works == strings.Contains(out, "1 to block and 0 to unblock have been pending for up to 1h") {
			t.Errorf("pending for %s: status %d\n%s", ago, status, out)
		}
		_ = held.Release()
	}
}

func TestStatusReportsACutFlushAlthoughEveryBanHasEnded(t *testing.T) {
	h := newHarness(t)
	h.record("203.0.113.7", 2*time.Hour)
	began := time.Now().Add(-90 * time.Minute)
	p, err := h.openLedger().Plan(t.Context(), ledger.PlanOptions{Now: began})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.openLedger().RecordUnsure(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	held := h.hold()
	defer func() { _ = held.Release() }()
	if _, err := h.openLedger().Lift(t.Context(), netip.MustParsePrefix("203.0.113.7/32"), time.Now(), 1000); err != nil {
		t.Fatal(err)
	}
	status, out, _ := h.run("status", "-c", h.file)
	if status == 0 || !strings.Contains(out, "a flush was cut 1h30m") {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestFlushBlocksByItselfAfterThePluginHasEnded(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.record("203.0.113.7", 0)
	held := h.hold()
	gone := time.AfterFunc(time.Second, func() { _ = held.Release() })
	defer gone.Stop()
	status, out, complaint := h.run("flush", "-c", h.file)
	if status != 0 || !h.sim.Blocked(netip.MustParseAddr("203.0.113.7")) {
		t.Errorf("status %d: %s%s", status, out, complaint)
	}
}
