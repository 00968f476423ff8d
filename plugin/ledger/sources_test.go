package ledger_test

import (
	"path/filepath"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/plugintest"
)

// twoMachines opens one state as two machines. The first one is the holder.
func twoMachines(t *testing.T) (one, two *ledger.Ledger) {
	path := filepath.Join(t.TempDir(), "test.db")
	one = openAt(t, path)
	if plugintest.TestsPostgres() {
		return one, openShared(t, databaseAt(t, path), "two")
	}
	two = openAt(t, path)
	two.Pretend(2)
	return one, two
}

func wantInForce(t *testing.T, l *ledger.Ledger, what string, prefixes ...string) {
	t.Helper()
	want(t, "in force "+what, inForce(t, l, plan(t, l, start)), prefixes)
}

// fullRead records a full read that lists decisions.
func fullRead(t *testing.T, l *ledger.Ledger, decisions ...ban.Decision) (lacked int) {
	t.Helper()
	r, err := l.BeginFullRead(t.Context())
	check(t, err)
	_, err = l.RecordListed(t.Context(), r, decisions, start, noLimit)
	check(t, err)
	lacked, err = l.EndFullRead(t.Context(), r, func(ban.Decision) bool { return true }, start)
	check(t, err)
	return lacked
}

func remove(t *testing.T, l *ledger.Ledger, decisions ...ban.Decision) ledger.Recorded {
	t.Helper()
	r, err := l.RemoveDeleted(t.Context(), decisions, start, noLimit)
	check(t, err)
	return r
}

func endMissing(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	_, err := l.EndMissing(t.Context(), start, noLimit)
	check(t, err)
}

func TestADecisionOfTwoMachinesGoesWhenBothReportItAsDeleted(t *testing.T) {
	one, two := twoMachines(t)
	d := identified(1, address, start.Add(time.Hour))
	alert := d
	alert.ID = 0
	record(t, one, start, alert)
	want(t, "unknown at the other machine", list(t, two, noLimit, d).Unknown, 0)
	want(t, "ended when one deleted it", remove(t, one, d).Ended, 0)
	wantInForce(t, one, "when one deleted it", address)
	want(t, "ended when it is deleted again", remove(t, one, d).Ended, 0)
	want(t, "ended when both deleted it", remove(t, two, d).Ended, 1)
	wantInForce(t, one, "when both deleted it")
}

func TestAFullReadEndsOnlyWhatItsMachineDelivered(t *testing.T) {
	one, two := twoMachines(t)
	both, first := identified(1, "203.0.113.1/32", start.Add(time.Hour)), identified(2, "203.0.113.2/32", start.Add(time.Hour))
	second := identified(3, "203.0.113.3/32", start.Add(time.Hour))
	list(t, one, noLimit, both, first)
	list(t, two, noLimit, both, second)
	want(t, "lacked", fullRead(t, one), 2)
	want(t, "lacked by the other one", fullRead(t, two, both, second), 0)
	endMissing(t, one)
	wantInForce(t, one, "after one full read", "203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32")
	want(t, "lacked again", fullRead(t, one), 2)
	missing, err := two.Missing(t.Context(), start)
	check(t, err)
	want(t, "missing at the other machine", missing.Count, 0)
	endMissing(t, two)
	wantInForce(t, one, "after the other machine ended its own", "203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32")
	endMissing(t, one)
	wantInForce(t, one, "after two full reads", "203.0.113.1/32", "203.0.113.3/32")
	want(t, "lacked when the machine delivers nothing", fullRead(t, one), 0)
	fullRead(t, two, second)
	fullRead(t, two, second)
	endMissing(t, two)
	wantInForce(t, one, "when the last machine lacks it", "203.0.113.3/32")
}

// Two Local APIs number their decisions each by itself.
func TestAnIDOfAnotherLocalAPIIsAnotherDecisionUnlessTheEndsAreTheSame(t *testing.T) {
	one, two := twoMachines(t)
	withID := func(end time.Duration) ban.Decision {
		d := decided(address, start.Add(end))
		d.ID = 7
		return d
	}
	list(t, one, noLimit, withID(time.Hour))
	want(t, "unknown with another end", list(t, two, noLimit, withID(2*time.Hour)).Unknown, 1)
	want(t, "unknown with the same end", list(t, two, noLimit, withID(time.Hour)).Unknown, 0)
	remove(t, two, withID(0))
	wantInForce(t, one, "when the other machine deleted its decisions", address)
	want(t, "ended", remove(t, one, withID(0)).Ended, 1)
}

func TestAPartOfASplitRangeHasTheSourcesOfTheRange(t *testing.T) {
	one, two := twoMachines(t)
	d := identified(1, "203.0.113.0/24", start.Add(time.Hour))
	list(t, two, noLimit, d)
	f := ban.Filter{NeverBlock: prefixes("203.0.113.0/25")}
	_, err := one.ApplyFilter(t.Context(), f.AdmitStored, start, noLimit)
	check(t, err)
	wantInForce(t, one, "after the split", "203.0.113.128/25")
	want(t, "lacked by a machine that did not deliver it", fullRead(t, one), 0)
	d.Prefix = f.AdmitStored(d)[0]
	want(t, "ended", remove(t, two, d).Ended, 1)
}
