package config_test

import (
	"strings"
	"testing"

	"notification-stormshield/config"
)

func TestAddressHasOneSpelling(t *testing.T) {
	for _, same := range [][]string{
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"2001:db8::1", "[2001:DB8:0:0::1]", "2001:0db8::0001"},
		{"fw.example.org", "FW.example.ORG", "fw.example.org."},
	} {
		first := config.Stormshield{Host: same[0], APIPort: 443}
		for _, host := range same[1:] {
			if got := (config.Stormshield{Host: host, APIPort: 443}).Address(); got != first.Address() {
				t.Errorf("%s is at %s, %s at %s", same[0], first.Address(), host, got)
			}
		}
		if other := (config.Stormshield{Host: same[0], APIPort: 8443}).Address(); other == first.Address() {
			t.Errorf("another port is the same address %s", other)
		}
	}
}

func TestDocumentsThatWriteTheSameGroupAreRefused(t *testing.T) {
	for _, c := range []struct {
		what    string
		more    string // of the second document
		refused bool
	}{
		{"the same groups", "", true},
		{"a group in other letters", "  group: CROWDSEC\n  delete_group: Gone", true},
		{"a group that is the delete_group of the first document", "  group: Mine\n  delete_group: Crowdsec", true},
		{"groups of its own", "  group: Mine\n  delete_group: Gone", false},
		{"another port", "  api_port: 8443", false},
	} {
		second := with("name: second") + c.more + "\n"
		_, err := config.Parse([]byte(minimal + "---\n" + second))
		if !c.refused && err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if c.refused && (err == nil || !strings.Contains(err.Error(), "second: stormshield.group: holds Crowdsec on the appliance at 192.0.2.1, as does edge on line 1")) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if _, err := config.Parse([]byte(minimal + "---\n" + with("name: second", "name: second", "dry_run: true"))); err != nil {
		t.Errorf("a dry run: %v", err)
	}
	without := strings.Replace(with("name: second"), "  ssh_password: 'hunter2'\n", "", 1)
	if _, err := config.Parse([]byte(minimal + "---\n" + without)); err != nil {
		t.Errorf("a document without SSH, which uses no group: %v", err)
	}
}

func TestDocumentsThatShareAFilterRuleAreRefused(t *testing.T) {
	for _, c := range []struct {
		what          string
		first, second string
		refused       bool
	}{
		{"the same name", "  enforce: rule", "  enforce: both", true},
		{"a name in other letters", "  enforce: rule", "  enforce: rule\n  rule: {name: CrowdSec}", true},
		{"a name of its own", "  enforce: rule", "  enforce: rule\n  rule: {name: other}", false},
		{"another appliance", "  enforce: rule", "  enforce: rule\n  api_port: 8443", false},
		{"the blacklist", "  enforce: rule", "  enforce: blacklist", false},
	} {
		_, err := config.Parse([]byte(with(c.first) + "---\n" + with("name: second", "  group: Mine\n  delete_group: Gone", c.second)))
		if !c.refused && err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if c.refused && (err == nil || !strings.Contains(err.Error(), "second: stormshield.rule.name: is ") || len(faultsOf(t, err)) != 1) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestDocumentsThatTwoMachinesMayFlushAtOnceAreRefused(t *testing.T) {
	const shares = "state_url: postgres://u@192.0.2.9/crowdsec"
	for _, c := range []struct {
		what          string
		first, second string
		refused       bool
	}{
		{"the first shares its state", shares, "log_level: info", true},
		{"the second shares its state", "log_level: info", shares, true},
		{"both share it", shares, shares, true},
		{"none shares it", "log_level: info", "log_level: info", false},
		{"another appliance", shares, "  api_port: 8443", false},
		{"a dry run", shares, "dry_run: true", false},
	} {
		_, err := config.Parse([]byte(with(c.first) + "---\n" + with("name: second", "  group: Mine\n  delete_group: Gone", c.second)))
		if !c.refused && err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if c.refused && (err == nil || !strings.Contains(err.Error(), "second: stormshield.host: is 192.0.2.1, as in edge on line 1, and one of the two shares") ||
			len(faultsOf(t, err)) != 1) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
