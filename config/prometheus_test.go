package config_test

import (
	"strings"
	"testing"

	"notification-stormshield/config"
)

func TestDocumentsWithDifferentListenersAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		first, second string
		refused       bool
	}{
		"the same":             {"enabled: on", "enabled: on", false},
		"one spelling":         {"enabled: on, listen_addr: '::1'", "enabled: on, listen_addr: '[0::1]'", false},
		"an IPv4-mapped one":   {"enabled: on", "enabled: on, listen_addr: '::ffff:127.0.0.1'", false},
		"another port":         {"enabled: on", "enabled: on, listen_port: 1", true},
		"another address":      {"enabled: on, listen_addr: '::1'", "enabled: on", true},
		"another web file":     {"enabled: on, web_config_path: /a", "enabled: on, web_config_path: /b", true},
		"one is off":           {"enabled: on", "listen_port: 1", false},
		"the other one is off": {"enabled: off", "enabled: on, listen_port: 1", false},
	} {
		first := with("prometheus: {" + c.first + "}")
		second := with("name: second", "prometheus: {"+c.second+"}", "  group: Mine", "  delete_group: Gone")
		_, err := config.Parse([]byte(first + "---\n" + second))
		if !c.refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.refused && (err == nil || !strings.Contains(err.Error(), "second: prometheus: names another listener than the document on line 1") || len(faultsOf(t, err)) != 1) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAListenerOfOneMachineIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "127.0.0.9": true, "::1": true, "0.0.0.0": false, "::": false, "192.0.2.1": false} {
		if got := (config.Prometheus{ListenAddr: address}).IsLoopback(); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
	if got := (config.Prometheus{ListenAddr: "::1", ListenPort: 60602}).Address(); got != "[::1]:60602" {
		t.Errorf("the address is %s", got)
	}
}
