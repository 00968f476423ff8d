package plugintest

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestSplitFileSeparatesTheLinesOfThePluginFromAllOthers(t *testing.T) {
	for name, c := range map[string]struct{ ours, others string }{
		"objects": {
			ours:   "crowdsec_ip_3405803853=203.0.113.77,resolve=static\ncrowdsec_net_3221226112_25=192.0.2.128/25",
			others: "[Host]\ncrowdsec_ip_console=198.51.100.7\ncrowdsec_ip_5\n#crowdsec_ip_5=192.0.2.1\n\n[Network]\nx=crowdsec_ip_5=192.0.2.1",
		},
		"groups": {
			ours:   "[Crowdsec]\ncrowdsec_ip_5\ncrowdsec_net_5_8\n[CrowdsecDeleteGroup]\ncrowdsec_ip_6",
			others: "[everything]\ncrowdsec_ip_5\n[CrowdsecOthers]\ncrowdsec_ip_6",
		},
		"a section that the plugin added": {ours: "[Network]\n" + sectionMark, others: "[Host]\nx=192.0.2.1"},
	} {
		text := c.others + "\n" + c.ours + "\n"
		ours, others := SplitFile(text)
		if !slices.Equal(ours, strings.Split(c.ours, "\n")) || !slices.Equal(others, strings.Split(c.others, "\n")) {
			t.Errorf("%s: %q and %q", name, ours, others)
		}
	}
	_, others := SplitFile("[Crowdsec]\ncrowdsec_ip_5\npc_admin\n[Other]\n")
	if want := []string{"pc_admin", "[Other]"}; !slices.Equal(others, want) {
		t.Errorf("the administrator's member of our group: %q, want %q", others, want)
	}
}

func TestEachHarnessHasAnAddressForItsMetrics(t *testing.T) {
	for range 20 {
		p := NewPrometheus()
		u, err := url.Parse(p.URL("/metrics"))
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
	}
	c := Configuration{}
	if strings.Contains(c.YAML(), "prometheus") {
		t.Errorf("a configuration without metrics names them:\n%s", c.YAML())
	}
	c.Prometheus = Prometheus{Enabled: true, ListenAddr: "127.1.2.3", ListenPort: 4}
	if want := "prometheus:\n  enabled: true\n  listen_addr: 127.1.2.3\n  listen_port: 4\n"; !strings.Contains(c.YAML(), want) {
		t.Errorf("the configuration lacks\n%s:\n%s", want, c.YAML())
	}
}
