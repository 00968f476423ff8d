package plugin_test

import (
	"strings"
	"testing"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
)

func TestConfigureRefusesASecondDocumentForTheSameApplianceAndGroup(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		replace, by string
		refused     bool
	}{
		"a copy":               {"", "", true},
		"the host as IPv6":     {"host: 192.0.2.1", `host: "::ffff:192.0.2.1"`, true},
		"a group of both":      {"  host:", "  group: Mine\n  delete_group: crowdsec\n  host:", true},
		"groups of its own":    {"  host:", "  group: Mine\n  delete_group: Gone\n  host:", false},
		"another appliance":    {"host: 192.0.2.1", "host: 192.0.2.2", false},
		"another port":         {"  host:", "  api_port: 8443\n  host:", false},
		"the same document":    {"name: second", "name: test", false},
		"a dry run":            {"name: second", "name: second\ndry_run: true", false},
		"the same in capitals": {"  host:", "  group: CROWDSEC\n  host:", true},
	} {
		t.Run(what, func(t *testing.T) {
			h := newHarness(t)
			text := strings.Replace(configuration(h.d.StateDir), "name: test", "name: second", 1)
			text = strings.Replace(text, c.replace, c.by, 1)
			_, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte(text)})
			if !c.refused && err != nil {
				t.Errorf("refused: %v", err)
			}
			if c.refused && (err == nil || !strings.Contains(err.Error(), "test and second both write group Crowdsec on the appliance at 192.0.2.1")) {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// All documents of a process share one listener for the metrics.
func TestConfigureRefusesADocumentWithAnotherListener(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	configure := func(name, host, prometheus string) error {
		text := strings.Replace(configuration(h.d.StateDir), "name: test", "name: "+name, 1)
		text = strings.Replace(text, "host: 192.0.2.1", "host: "+host, 1)
		_, err := h.p.Configure(t.Context(), &protobufs.Config{Config: []byte("prometheus: {" + prometheus + "}\n" + text)})
		return err
	}
	if err := configure("second", "192.0.2.2", "enabled: on, listen_port: 1"); err != nil {
		t.Fatal(err)
	}
	if err := configure("third", "192.0.2.3", "enabled: on, listen_port: 1"); err != nil {
		t.Errorf("the same listener: %v", err)
	}
	if err := configure("fourth", "192.0.2.4", "enabled: on"); err == nil || !strings.Contains(err.Error(), "different listeners under prometheus") {
		t.Errorf("another port: %v", err)
	}
}

// Another machine may hold the lease of a document whose state machines share, so documents of one appliance cannot take turns.
func TestConfigureRefusesTwoDocumentsOfOneApplianceIfOneSharesItsState(t *testing.T) {
	t.Parallel()
	first, second := config.Default(), config.Default()
	first.Name, first.Stormshield.Host, second.Name, second.StateURL = "first", "192.0.2.1", "second", "postgres://u@192.0.2.9/crowdsec"
	second.Stormshield.Group, second.Stormshield.DeleteGroup = "Mine", "Gone"
	for host, refused := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false} {
		second.Stormshield.Host = host
		for _, err := range []error{plugin.CheckPair(first, second), plugin.CheckPair(second, first)} {
			if isRefused := err != nil && strings.Contains(err.Error(), "shares its state with other machines"); isRefused != refused {
				t.Errorf("%s: %v", host, err)
			}
		}
	}
}
