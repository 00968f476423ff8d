package plugintest

import (
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
