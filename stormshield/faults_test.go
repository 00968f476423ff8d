package stormshield_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/snstest"
)

// A flush sends a program and its data. The program must not run if it is cut anywhere.
func TestACutUploadChangesNothingAndTheNextFlushCompletesIt(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(10), nil, true)
	h.Sim.ResetStats()
	h.MustFlush(addresses(11)[10:], addresses(1), false)
	whole := int(h.Sim.Stats().SSHUploaded)
	next := 11
	for _, after := range []int{1, 100, whole / 4, whole / 2, whole * 3 / 4, whole - 30, whole - 20, whole - 3} {
		object, groups := h.Sim.Read("object"), h.Sim.Read("objectgroup")
		h.Sim.ResetStats()
		h.Sim.SetFaults(func(f *snstest.Faults) { f.SSHCutAfterUpload = after })
		done, err := h.Flush(addresses(next + 1)[next:], addresses(next - 9)[next-10:], false)
		if err == nil {
			t.Fatalf("cut after %d of %d bytes, the upload went through", after, whole)
		}
		if done.Listed || done.Mark != "" {
			t.Errorf("cut after %d of %d bytes: acknowledged as written", after, whole)
		}
		h.Sim.SetFaults(func(f *snstest.Faults) { f.SSHCutAfterUpload = 0 })
		for began := time.Now(); h.Sim.Stats().ShellCPU == 0; time.Sleep(time.Millisecond) { // the shell ends later than the connection
			if time.Since(began) > 30*time.Second {
				t.Fatal("the shell did not end")
			}
		}
		if !bytes.Equal(h.Sim.Read("object"), object) || !bytes.Equal(h.Sim.Read("objectgroup"), groups) {
			t.Errorf("cut after %d of %d bytes: the files changed:\n%s\n%s", after, whole, h.Sim.Read("object"), h.Sim.Read("objectgroup"))
		}
		h.MustFlush(addresses(next + 1)[next:], addresses(next - 9)[next-10:], true)
		h.WantInForce()
		next++
	}
}

// The ledger does not know leftovers, so only a comparison of the whole files finds them again.
func TestLeftoversThatCouldNotBeUnblockedAreFoundByTheNextFlush(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.MustFlush(addresses(3), nil, true)
	h.InForce, h.Mark = map[netip.Prefix]bool{}, "" // the state was lost
	h.Sim.SetFaults(func(f *snstest.Faults) { f.Ret = map[string]int{"MONITOR ADDRESSLIST DELETE": 300} })
	if _, err := h.Flush(prefixes("192.0.2.1/32"), nil, false); err == nil {
		t.Error("no error")
	}
	h.Sim.SetFaults(func(f *snstest.Faults) { f.Ret = nil })
	h.MustFlush(nil, nil, false)
	h.WantInForce()
}

func TestAFaultDuringAFlushEndsItWithAnErrorAndTheNextOneCompletesIt(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*snstest.Faults){
		"SSH hangs":       func(f *snstest.Faults) { f.SSHHang = true },
		"API hangs":       func(f *snstest.Faults) { f.APIHang = true },
		"HTTP 503":        func(f *snstest.Faults) { f.APIStatus = 503 },
		"malformed XML":   func(f *snstest.Faults) { f.MalformedXML = true },
		"cut answers":     func(f *snstest.Faults) { f.TruncateBody = true },
		"serverd is away": func(f *snstest.Faults) { f.RootCode = 501 },
		"session expires": func(f *snstest.Faults) { f.ExpireSessionAfter = 1 },
		"disk full":       func(f *snstest.Faults) { f.DiskFullAfter = 512 },
		"read-only":       func(f *snstest.Faults) { f.ReadOnlyDir = true },
		"group refused":   func(f *snstest.Faults) { f.Ret = map[string]int{"MONITOR ADDRESSLIST ADD": 200} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			h.MustFlush(addresses(50), nil, true)
			h.Sim.SetFaults(set)
			patient, config := h.Client, configFor(t, h.Sim)
			config.API.Timeout, config.SSH.Timeout = 500*time.Millisecond, 500*time.Millisecond
			h.Client = stormshield.New(config)
			began := time.Now()
			if _, err := h.Flush(addresses(60)[50:], addresses(20), true); err == nil {
				t.Error("no error")
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %s to give up", took)
			}
			h.Sim.SetFaults(func(f *snstest.Faults) { *f = snstest.Faults{} })
			h.Client = patient
			h.MustFlush(addresses(60)[50:], addresses(20), true)
			h.WantInForce()
		})
	}
}

func TestAFlushBlocksOthersIfTheApplianceRefusesOne(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Sim.SetFaults(func(f *snstest.Faults) { f.NoIPv6 = true })
	done, err := h.Flush(prefixes("192.0.2.1/32", "2001:db8::7/128", "192.0.2.2/32", "203.0.113.0/24"), nil, false)
	if err == nil || done.At.IsZero() || len(done.Refused) != 1 || !strings.Contains(err.Error(), "2001:db8::7") {
		t.Errorf("the flush says %v", err)
	}
	if len(done.Blocked) != 3 || !done.Listed || !done.Cleared {
		t.Errorf("done: %+v", done)
	}
	delete(h.InForce, netip.MustParsePrefix("2001:db8::7/128"))
	h.WantInForce()
}

func TestAFlushSendsNothingIfTheLedgerCannotRecordItsBegin(t *testing.T) {
	t.Parallel()
	h := start(t)
	full := errors.New("the disk is full")
	ban := appliance.Ban{Prefix: addresses(1)[0], Until: time.Now().Add(time.Hour)}
	done, err := h.Client.Apply(t.Context(), appliance.Change{
		Pending: appliance.Pending{Block: []appliance.Ban{ban}, Mark: "mark"}, Files: true, Begin: func() error { return full }, AllInForce: h.AllInForce,
	})
	if !errors.Is(err, full) || done.Mark != "mark" || !done.At.IsZero() {
		t.Errorf("the flush did %+v and returned %v, want no change and the error of the ledger", done, err)
	}
	if s := h.Sim.Stats(); s.APILoginsOK > 0 || s.SSHConnections > 0 {
		t.Errorf("%d API logins, %d SSH connections", s.APILoginsOK, s.SSHConnections)
	}
}
