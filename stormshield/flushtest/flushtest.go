// Package flushtest runs flushes on a simulated appliance, for the tests of package stormshield and of the packages above it.
//
// A [Harness] is one appliance with its client. It remembers which bans are in force, answers the questions of a flush as the
// ledger does, and compares the blacklist with them.
package flushtest

import (
	"cmp"
	"context"
	"crypto/x509"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

// Config returns the configuration of a simulated appliance.
func Config(t testing.TB, sim *snstest.Appliance) stormshield.Config {
	t.Helper()
	return stormshield.Config{
		API: serverd.Config{
			Host: sim.Host(), Port: sim.APIPort(), User: sim.User(), Password: sim.Password(),
			Trust: serverd.Trust{CAPath: WriteFile(t, "ca.pem", sim.CA()), ServerName: sim.CertificateName()}, Timeout: 10 * time.Second,
		},
		SSH: shell.Config{
			Host: sim.Host(), Port: sim.SSHPort(), User: sim.User(), Password: sim.Password(),
			HostKey: sim.HostKeyFingerprint(), Timeout: 10 * time.Second,
		},
		ConfigDir: sim.ConfigDir(), Group: "Crowdsec", DeleteGroup: "CrowdsecDeleteGroup",
		BlacklistTimeout: 24 * time.Hour, SingleMax: 4,
	}
}

// WriteFile writes a file in a folder of its own, and returns its path.
func WriteFile(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Certified returns a configuration that logs in to the API with a client certificate of issuer instead of a password.
func Certified(t testing.TB, c stormshield.Config, issuer *snstest.Appliance, edit func(*x509.Certificate)) stormshield.Config {
	t.Helper()
	certificate, key := issuer.ClientCertificate(edit)
	c.API.User, c.API.Password = "", ""
	c.API.ClientCertPath, c.API.ClientKeyPath = WriteFile(t, "cert.pem", certificate), WriteFile(t, "key.pem", key)
	return c
}

// Harness is a simulated appliance and its client.
type Harness struct {
	T      *testing.T
	Sim    *snstest.Appliance
	Client *stormshield.Appliance

	InForce      map[netip.Prefix]bool
	Acknowledged map[netip.Prefix]bool // blocked one by one
	Mark         string                // of the files after the last flush; "": not known
	Compared     int                   // how often a flush read the files whole
	OverAPI      bool                  // Flush leaves the files as they are
	Permit       func() error          // of each change
}

// Start starts an appliance, which ends with the test.
func Start(t *testing.T, options ...func(*snstest.Options)) *Harness {
	t.Helper()
	sim := snstest.Start(t, options...)
	return &Harness{
		T: t, Sim: sim, Client: stormshield.New(Config(t, sim)),
		InForce: map[netip.Prefix]bool{}, Acknowledged: map[netip.Prefix]bool{},
	}
}

// Prefixes parses prefixes.
func Prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// Addresses returns the first n addresses from 198.18.0.0 on.
func Addresses(n int) []netip.Prefix {
	var out []netip.Prefix
	for i := range n {
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 32))
	}
	return out
}

// Begin is the function Begin of a change. It succeeds, as if the ledger had recorded the begin of the flush.
func Begin() error { return nil }

// Flush adds and removes bans in one Apply. A warning counts as an error.
func (h *Harness) Flush(add, remove []netip.Prefix, reassert bool) (appliance.Outcome, error) {
	h.T.Helper()
	change := appliance.Change{
		Pending: appliance.Pending{Unblock: remove, Add: add, Remove: remove, Mark: h.Mark},
		Files:   !h.OverAPI, Reassert: reassert, GroupListsAll: true,
		Permit: h.Permit, Begin: Begin, AllInForce: h.AllInForce, BansWithEntry: h.bansWithEntry, OneByOne: h.notAcknowledged,
	}
	for _, b := range add {
		h.InForce[b] = true
		change.Block = append(change.Block, appliance.Ban{Prefix: b, Until: time.Now().Add(time.Hour)})
	}
	for _, b := range remove {
		delete(h.InForce, b)
	}
	change.InForce = len(h.InForce)
	done, err := h.Client.Apply(h.T.Context(), change)
	h.Mark = done.Mark
	for _, b := range done.Blocked {
		h.Acknowledged[b.Prefix] = true
	}
	return done, cmp.Or(err, done.Warning, done.FilesWarning, done.CutWarning)
}

// notAcknowledged returns the bans in force that no flush blocked one by one since Acknowledged was emptied.
func (h *Harness) notAcknowledged(context.Context) ([]netip.Prefix, error) {
	var pending []netip.Prefix
	for _, b := range slices.SortedFunc(maps.Keys(h.InForce), netip.Prefix.Compare) {
		if !h.Acknowledged[b] {
			pending = append(pending, b)
		}
	}
	return pending, nil
}

// bansWithEntry returns the bans in force, each for another hour.
func (h *Harness) bansWithEntry(context.Context) ([]appliance.Ban, error) {
	var bans []appliance.Ban
	for b := range h.InForce {
		bans = append(bans, appliance.Ban{Prefix: b, Until: time.Now().Add(time.Hour)})
	}
	return bans, nil
}

// AllInForce answers a flush that compares the files whole.
func (h *Harness) AllInForce(context.Context, []netip.Prefix) ([]netip.Prefix, error) {
	h.Compared++
	return slices.Collect(maps.Keys(h.InForce)), nil
}

// MustFlush is Flush that must succeed.
func (h *Harness) MustFlush(add, remove []netip.Prefix, reassert bool) appliance.Outcome {
	h.T.Helper()
	done, err := h.Flush(add, remove, reassert)
	if err != nil {
		h.T.Fatal(err)
	}
	return done
}

// WantInForce fails the test unless the blacklist holds the bans in force, nothing is left beside the files or open, and an
// appliance can read the files.
func (h *Harness) WantInForce() {
	h.T.Helper()
	h.WantBlacklist()
	if problems := h.Sim.Problems(); len(problems) > 0 {
		h.T.Errorf("an appliance cannot read its files: %q", problems[:min(5, len(problems))])
	}
}

// WantBlacklist is WantInForce without the check that an appliance can read the files.
func (h *Harness) WantBlacklist() {
	h.T.Helper()
	var listed, want []string
	for _, e := range h.Sim.Blacklist() {
		listed = append(listed, e.Source.String())
	}
	for b := range h.InForce {
		want = append(want, b.String())
	}
	slices.Sort(listed)
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		h.T.Errorf("on the blacklist: %d entries %.200v, want %d %.200v", len(listed), listed, len(want), want)
	}
	if left := h.Sim.Leftovers(); len(left) > 0 {
		h.T.Errorf("left beside the files: %q", left)
	}
	if n := h.Sim.Stats().Evictions; n > 0 {
		h.T.Errorf("the administrator's right was taken %d times", n)
	}
	if held, _ := h.Sim.MonitorHeld(); held {
		h.T.Error("the monitor right was not given back")
	}
	if n := h.Sim.Stats().SessionsOpen; n != 0 {
		h.T.Errorf("%d sessions stay open", n)
	}
}
