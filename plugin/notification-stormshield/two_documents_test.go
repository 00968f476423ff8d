package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"
	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/plugintest"
)

// Two documents with groups of their own share the blacklist of an appliance.
func TestABanOfOneDocumentStaysWhenTheBanOfAnotherDocumentEnds(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	p := plugin.New(plugin.Options{Log: hclog.NewNullLogger(), Connect: connect, Started: time.Now().Add(-time.Minute)})
	t.Cleanup(p.Close)
	first := h.yaml(nil)
	second := strings.Replace(h.yaml(map[string]string{"group": "Mine", "delete_group": "MineEnded"}), "name: test", "name: second", 1)
	for _, text := range []string{first, second} {
		if _, err := p.Configure(t.Context(), &protobufs.Config{Config: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	groups := func() string { return string(h.sim.Read("objectgroup")) }
	await := func(event string, holds func() bool) {
		t.Helper()
		for began := time.Now(); !holds(); time.Sleep(50 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatalf("the test waited in vain for %s; the groups are:\n%s", event, groups())
			}
		}
	}
	await("the first flush of both", func() bool {
		return strings.Contains(groups(), "[CrowdsecDeleteGroup]") && strings.Contains(groups(), "[MineEnded]")
	})
	notify := func(name string, lasts time.Duration, address string) {
		t.Helper()
		text := plugintest.Ban(lasts, netip.MustParsePrefix(address)).Text()
		if _, err := p.Notify(t.Context(), &protobufs.Notification{Name: name, Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	request := func(name string) { // a flush that writes the files
		t.Helper()
		d := h.document()
		d.Name = name
		l, err := ledger.Open(t.Context(), plugin.StateOf(d).Path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := l.RequestFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	both, one := netip.MustParsePrefix("203.0.113.7/32"), netip.MustParsePrefix("203.0.113.8/32")
	notify("second", time.Hour, both.String())
	if _, err := h.sim.WaitBlocked(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	request("second")
	await("the file of the other document's ban", func() bool { return strings.Contains(groups(), "crowdsec_ip_3405803783") })
	notify("test", 10*time.Minute, both.String())
	notify("test", 10*time.Minute, one.String())
	if _, err := h.sim.WaitBlocked(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if entry, ok := h.sim.BlockedPrefix(both); !ok || time.Until(entry.Expires) < 30*time.Minute {
		t.Errorf("the shorter ban shortened the entry: %+v", entry)
	}
	request("test")
	await("the write of both groups", func() bool {
		return strings.Count(groups(), "crowdsec_ip_3405803783") == 2 && strings.Contains(groups(), "crowdsec_ip_3405803784")
	})
	l, err := ledger.Open(t.Context(), plugin.StateOf(h.document()).Path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, prefix := range []netip.Prefix{both, one} {
		if _, err := l.Lift(t.Context(), prefix, time.Now(), 1000); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.sim.WaitUnblocked(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	request("test")
	await("the flush of the end", func() bool { return !strings.Contains(groups(), "crowdsec_ip_3405803784") })
	if _, ok := h.sim.BlockedPrefix(both); !ok {
		t.Error("the address of the other document's ban was unblocked")
	}
	if !strings.Contains(groups(), "crowdsec_ip_3405803783") || !strings.Contains(string(h.sim.Read("object")), "crowdsec_ip_3405803783=") {
		t.Errorf("the object of the other document's ban is gone:\n%s", groups())
	}
}
