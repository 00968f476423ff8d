package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/plugintest"
)

// startPlugin starts the plugin with a configuration, as CrowdSec does at a reload.
func (h *harness) startPlugin(yaml string) *plugin.Plugin {
	h.t.Helper()
	p := plugin.New(plugin.Options{Log: hclog.NewNullLogger(), Connect: connect, Started: time.Now().Add(-time.Minute)})
	h.t.Cleanup(p.Close)
	if _, err := p.Configure(h.t.Context(), &protobufs.Config{Config: []byte(yaml)}); err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *harness) ban(p *plugin.Plugin, prefixes ...netip.Prefix) {
	h.t.Helper()
	alert := plugintest.Ban(time.Hour, prefixes...)
	if _, err := p.Notify(h.t.Context(), &protobufs.Notification{Name: "test", Text: alert.Text()}); err != nil {
		h.t.Fatal(err)
	}
}

// await waits until the blacklist has exactly these prefixes.
func (h *harness) await(when string, want ...netip.Prefix) {
	h.t.Helper()
	slices.SortFunc(want, netip.Prefix.Compare)
	for deadline := time.Now().Add(time.Minute); ; {
		changed := h.sim.BlacklistChanged()
		var got []netip.Prefix
		for _, e := range h.sim.Blacklist() {
			got = append(got, e.Source)
		}
		slices.SortFunc(got, netip.Prefix.Compare)
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-changed:
		case <-time.After(time.Until(deadline)):
			h.t.Fatalf("%s: the blacklist has %v, want %v", when, got, want)
		}
	}
}

// A range ends without SSH, and no credential for SSH is needed for that.
func TestRemovingAndAddingTheCredentialsForSSHUnblocksNoAddress(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	addresses := plugintest.Addresses(netip.MustParseAddr("203.0.113.1"), 20) // more than api_single_max
	network, another := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::7/128")
	withSSH, without := h.yaml(nil), h.yaml(map[string]string{"ssh_password": "", "ssh_host_key": ""})

	p := h.startPlugin(withSSH)
	h.ban(p, append(addresses, network)...)
	h.await("with SSH", append(slices.Clone(addresses), network)...)
	p.Close()
	logins := h.sim.Stats().SSHAuthOK

	p = h.startPlugin(without)
	h.await("without SSH", addresses...)
	h.ban(p, network, another)
	addresses = append(addresses, another)
	h.await("with one more", addresses...)
	p.Close()
	if got := h.sim.Stats().SSHAuthOK; got != logins {
		t.Errorf("%d logins over SSH without a credential for it", got-logins)
	}

	p = h.startPlugin(withSSH)
	h.ban(p, network)
	h.await("with SSH again", append(slices.Clone(addresses), network)...)
	p.Close()
	for _, command := range h.sim.Stats().APICommands {
		if strings.Contains(command, "DELETE") && !strings.Contains(command, "crowdsec_net_") {
			t.Errorf("a change of the credentials for SSH sent %s", command)
		}
	}
}
