package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/stormshield/snstest"
)

func TestWithoutACommandItPrintsItsHelp(t *testing.T) {
	h := newHarness(t)
	status, out, _ := h.run()
	if status != 0 || !strings.Contains(out, "CrowdSec notification plugin") || !strings.Contains(out, "cleanup") {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func TestWrongUsageExitsWithStatus2(t *testing.T) {
	h := newHarness(t)
	for _, args := range [][]string{
		{"bogus"}, {"check", "--bogus"}, {"check", "-c"}, {"check", "-c", h.file, "more"}, {"config", "more"}, {"bans", "remove", "-c", h.file},
	} {
		if status, _, complaint := h.run(args...); status != 2 || !strings.Contains(complaint, "--help") {
			t.Errorf("%v: status %d, %s", args, status, complaint)
		}
	}
}

func TestConfigPrintsTheSample(t *testing.T) {
	h := newHarness(t)
	if status, out, _ := h.run("config"); status != 0 || out != config.Sample() {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func TestVersionNamesTheGoVersion(t *testing.T) {
	h := newHarness(t)
	if status, out, _ := h.run("version"); status != 0 || !strings.Contains(out, "go1.") {
		t.Errorf("status %d: %s", status, out)
	}
}

func TestTheLinesOfTrustMakeCheckPass(t *testing.T) {
	h := newHarness(t)
	h.write(h.yaml(map[string]string{"ssh_host_key": "", "api_cert_fingerprint": ""}))
	if status, _, complaint := h.run("check", "-c", h.file); status != 1 || !strings.Contains(complaint, "crowdsec-stormshield trust") {
		t.Errorf("check without an identity: status %d, %s", status, complaint)
	}
	status, out, complaint := h.run("trust", "-c", h.file)
	if status != 0 {
		t.Fatalf("trust: status %d, %s", status, complaint)
	}
	if seen := h.sim.Stats().CredentialsSeen; seen != 0 {
		t.Errorf("trust showed a credential %d times", seen)
	}
	text := h.yaml(map[string]string{"ssh_host_key": "", "api_cert_fingerprint": ""})
	for line := range strings.Lines(out) {
		text += "  " + line
	}
	h.write(text)
	if status, out, complaint := h.run("check", "-c", h.file); status != 0 || !strings.Contains(out, "All is well") {
		t.Errorf("check: status %d\n%s%s", status, out, complaint)
	}
}

func TestCheckNamesEachFaultAndAHint(t *testing.T) {
	for name, c := range map[string]struct {
		faults  func(*snstest.Faults)
		prepare func(*harness)
		wants   []string
	}{
		"SSH refused":             {faults: func(f *snstest.Faults) { f.SSHRefuse = true }, wants: []string{"SSH login", "refused", "switch SSH on"}},
		"host key changed":        {prepare: func(h *harness) { h.sim.ChangeHostKey() }, wants: []string{"SSH login", "not trusted", "ssh_host_key"}},
		"SSH password wrong":      {prepare: func(h *harness) { h.write(h.yaml(map[string]string{"ssh_password": "wrong"})) }, wants: []string{"SSH login", "correct ssh_username, ssh_password"}},
		"API port closed":         {faults: func(f *snstest.Faults) { f.APIRefuse = true }, wants: []string{"API login", "refused", "api_port"}},
		"certificate not trusted": {prepare: func(h *harness) { h.sim.ChangeCertificate() }, wants: []string{"API login", "not trusted", "api_cert_fingerprint"}},
		"API password wrong":      {prepare: func(h *harness) { h.write(h.yaml(map[string]string{"api_password": "wrong"})) }, wants: []string{"API login", "AUTH_FAILED", "api_password"}},
		"without mon_write":       {faults: func(f *snstest.Faults) { f.NoMonWrite = true }, wants: []string{"right to the blacklist", "mon_write"}},
		"config_dir missing":      {prepare: func(h *harness) { h.write(h.yaml(map[string]string{"config_dir": "/nowhere"})) }, wants: []string{"configuration folder", "/nowhere", "set config_dir"}},
		"[Host] missing": {prepare: func(h *harness) {
			_ = h.sim.Write("object", []byte(strings.Replace(string(h.sim.Read("object")), "[Host]", "[Ghost]", 1)))
		}, wants: []string{"object", "no section [Host]", "restore"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			if c.faults != nil {
				h.sim.SetFaults(c.faults)
			}
			if c.prepare != nil {
				c.prepare(h)
			}
			status, out, complaint := h.run("check", "-c", h.file)
			if status != 1 || !strings.Contains(complaint, "see above") {
				t.Errorf("status %d, %s", status, complaint)
			}
			for _, want := range c.wants {
				if !strings.Contains(out, want) {
					t.Errorf("the output lacks %q:\n%s", want, out)
				}
			}
			if n := strings.Count(out, "\n  WRONG"); n != 1 {
				t.Errorf("%d faults named:\n%s", n, out)
			}
		})
	}
}

func TestCheckWarnsOfAConfigurationThatOthersCanRead(t *testing.T) {
	h := newHarness(t)
	for mode, warns := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o644: true} {
		if err := os.Chmod(h.file, mode); err != nil {
			t.Fatal(err)
		}
		status, _, complaint := h.run("check", "-c", h.file)
		if status != 0 || strings.Contains(complaint, "chmod 600 "+h.file) != warns {
			t.Errorf("mode %s: status %d, %q", mode, status, complaint)
		}
	}
}

func TestCheckReportsALockOut(t *testing.T) {
	h := newHarness(t)
	for n := range 3 { // another password each time: a hold-off is of one
		h.write(h.yaml(map[string]string{"api_password": fmt.Sprint("wrong ", n)}))
		h.run("check", "-c", h.file)
	}
	if h.sim.Locked() == 0 {
		t.Fatal("the appliance is not locked")
	}
	h.write(h.yaml(nil))
	status, out, _ := h.run("check", "-c", h.file)
	if status != 1 || !strings.Contains(out, "ERR_BRUTEFORCE") || !strings.Contains(out, "wait until the lock ends") {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func TestTheNextCheckAfterARefusedLoginTriesNone(t *testing.T) {
	h := newHarness(t)
	h.write(h.yaml(map[string]string{"api_password": "wrong"}))
	h.openLedger()
	h.run("check", "-c", h.file)
	status, _, complaint := h.run("check", "-c", h.file)
	if status != 1 || !strings.Contains(complaint, "no login is tried before") {
		t.Errorf("second check: status %d, %s", status, complaint)
	}
	if n := h.sim.Stats().APILoginsFailed; n != 1 {
		t.Errorf("%d attempts with a wrong password", n)
	}
	h.write(h.yaml(nil))
	if status, out, complaint := h.run("check", "-c", h.file); status != 0 {
		t.Errorf("with the right password, at once: status %d\n%s%s", status, out, complaint)
	}
}

// openLedger opens the state as the plugin does.
func (h *harness) openLedger() *ledger.Ledger {
	h.t.Helper()
	l, err := ledger.Open(h.t.Context(), plugin.StateOf(h.document()).Path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l.Close() })
	return l
}

func TestCleanupRemovesOurEntriesAndKeepsEveryOtherByte(t *testing.T) {
	h := newHarness(t)
	object, groups := string(h.sim.Read("object")), string(h.sim.Read("objectgroup"))
	l, now := h.openLedger(), time.Now()
	var bans []ban.Decision
	for i := range 100 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}), 32)
		bans = append(bans, ban.Decision{Prefix: prefix, RangeBits: 32, Type: "ban", Until: now.Add(time.Hour)})
	}
	if _, err := l.Record(t.Context(), bans, now, 1000); err != nil {
		t.Fatal(err)
	}
	h.flush(l)
	if n := h.sim.BlacklistLen(); n != 100 {
		t.Fatalf("%d entries on the blacklist", n)
	}

	held, err := lease.Try(plugin.StateOf(h.document()).Lease)
	if err != nil || held == nil {
		t.Fatal(held, err)
	}
	status, _, complaint := h.run("cleanup", "-c", h.file)
	if status != 1 || !strings.Contains(complaint, "stop CrowdSec first") || h.sim.BlacklistLen() != 100 {
		t.Errorf("beside a running plugin: status %d, %s", status, complaint)
	}
	_ = held.Release()

	status, out, complaint := h.run("cleanup", "-c", h.file)
	if status != 0 || !strings.Contains(out, "100 entries") {
		t.Errorf("status %d: %s%s", status, out, complaint)
	}
	if h.sim.BlacklistLen() != 0 || string(h.sim.Read("object")) != object || string(h.sim.Read("objectgroup")) != groups {
		t.Errorf("%d entries left, object:\n%s\nobjectgroup:\n%s", h.sim.BlacklistLen(), h.sim.Read("object"), h.sim.Read("objectgroup"))
	}

	h.flush(l)
	if n := h.sim.BlacklistLen(); n != 100 {
		t.Errorf("started again, the plugin blocks %d of 100", n)
	}
}
