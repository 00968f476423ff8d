package acceptance_test

import (
	"strings"
	"testing"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/snstest"
)

func startPair(t *testing.T, set func(*snstest.Faults)) *harness {
	t.Helper()
	h := start(t, func(o *snstest.Options) { o.HighAvailability = true })
	h.Sim.SetFaults(set)
	return h
}

func TestCheckDescribesThePairOfHighAvailability(t *testing.T) {
	t.Parallel()
	const (
		self = snstest.DefaultSerialNumber + ", which answers here"
		peer = snstest.PeerSerialNumber
		rest = ", state Running, in this role since 2026-11-02 09:00:00, last synchronisation 2026-11-20 10:11:12"
	)
	for name, c := range map[string]struct {
		set     func(*snstest.Faults)
		verdict acceptance.Verdict
		detail  string
	}{
		"active": {func(*snstest.Faults) {}, acceptance.Holds, self + ", role Active" + rest + "\n" + peer + ", role Passive" + rest},
		"passive": {func(f *snstest.Faults) { f.Passive = true }, acceptance.Differs,
			self + ", role Passive" + rest + "\n" + peer + ", role Active" + rest},
		"passive, as raw text": {func(f *snstest.Faults) {
			f.HAInfo = "[" + snstest.DefaultSerialNumber + "]\nMode=\"passive\"\nState=\n[" + peer + "]\nMode=Active\n"
		},
			acceptance.Differs, self + ", role passive\n" + peer + ", role Active"},
		"without a role":    {func(f *snstest.Faults) { f.HAInfo = "[" + snstest.DefaultSerialNumber + "]\nState=1\n" }, acceptance.Holds, self + ", state 1"},
		"other fields":      {func(f *snstest.Faults) { f.HAInfo = "[Result]\nLinks=2\n" }, acceptance.Untried, "HA INFO names no appliance of the pair"},
		"without a section": {func(f *snstest.Faults) { f.HAInfo = "Mode=Passive\n" }, acceptance.Untried, "HA INFO names no appliance of the pair"},
		"no right":          {func(f *snstest.Faults) { f.Ret = map[string]int{"HA INFO": 205} }, acceptance.Untried, "HA INFO: the account has no right"},
		"no serial number":  {func(f *snstest.Faults) { f.NoSerialNumber = true }, acceptance.Holds, snstest.DefaultSerialNumber + ", role Active"},
	} {
		t.Run(name, func(t *testing.T) {
			h := startPair(t, c.set)
			findings := h.check()
			if err := acceptance.FirstFault(findings); err != nil {
				t.Error(err)
			}
			if f := finding(findings, "high availability"); f.Verdict != c.verdict || !strings.HasPrefix(f.Detail, c.detail) ||
				strings.Contains(f.Hint, "virtual address") != (c.verdict == acceptance.Differs) {
				t.Errorf("found %s: %s (hint: %s)", f.Verdict, f.Detail, f.Hint)
			}
			if f := finding(findings, "firmware"); !strings.Contains(f.Detail, "EVA2 4.8.15, one of a pair: a failover empties the blacklist") {
				t.Errorf("found %+v", f)
			}
		})
	}
}

func TestCheckDescribesThePairWithoutSSH(t *testing.T) {
	t.Parallel()
	h := startPair(t, func(f *snstest.Faults) { f.Passive = true })
	config := flushtest.Config(t, h.Sim)
	config.WithoutSSH = true
	if f := finding(acceptance.Check(t.Context(), stormshield.New(config)), "high availability"); f.Verdict != acceptance.Differs {
		t.Errorf("found %+v", f)
	}
}

func TestCheckOfASingleApplianceSaysNothingAboutAPair(t *testing.T) {
	t.Parallel()
	h := start(t)
	findings := h.check()
	if f := finding(findings, "high availability"); f.Subject != "none about high availability" {
		t.Errorf("found %+v", f)
	}
	if f := finding(findings, "firmware"); f.Detail != "EVA2 4.8.15" {
		t.Errorf("found %+v", f)
	}
	for _, command := range h.Sim.Stats().APICommands {
		if strings.HasPrefix(command, "HA") {
			t.Errorf("the check sent %q", command)
		}
	}
}
