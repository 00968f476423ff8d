package ban_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
)

func TestAListedDecisionBecomesBansOrAReason(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	filter := ban.Filter{NeverBlock: prefixes("198.51.100.0/25"), MinPrefixIPv4: 8, MinPrefixIPv6: 32, Origins: []string{"CAPI", "lists"}, ExcludeScenarios: []string{"crawl"}}
	good := ban.Listed{Origin: "lists:firehol", Scenario: "http:scan", Scope: "Ip", Type: "ban", Value: "203.0.113.7", Left: time.Hour}
	for name, c := range map[string]struct {
		change  func(*ban.Listed)
		want    string
		reason  string
		refused bool
	}{
		"an address":        {func(*ban.Listed) {}, "203.0.113.7/32", "", false},
		"a range":           {func(l *ban.Listed) { l.Value, l.Scope = "203.0.113.9/24", "Range" }, "203.0.113.0/24", "", false},
		"split":             {func(l *ban.Listed) { l.Value = "198.51.100.0/24" }, "198.51.100.128/25", "", false},
		"never blocked":     {func(l *ban.Listed) { l.Value = "198.51.100.1" }, "", "198.51.100.0/25", true},
		"too wide":          {func(l *ban.Listed) { l.Value = "2.0.0.0/7" }, "", "min_prefix_ipv4", true},
		"no address":        {func(l *ban.Listed) { l.Value = "x\n" }, "", "not an address", true},
		"another scope":     {func(l *ban.Listed) { l.Scope = "AS" }, "", "scope", false},
		"another type":      {func(l *ban.Listed) { l.Type = "captcha" }, "", "type", false},
		"another origin":    {func(l *ban.Listed) { l.Origin = "cscli" }, "", "origin", false},
		"excluded scenario": {func(l *ban.Listed) { l.Scenario = "http-crawl" }, "", "excluded", false},
	} {
		l := good
		c.change(&l)
		bans, skip, refused := filter.AdmitListed(l, now)
		var got []netip.Prefix
		for _, b := range bans {
			got = append(got, b.Prefix)
			if !b.Until.Equal(now.Add(time.Hour)) || b.Origin != l.Origin || b.Scenario != l.Scenario {
				t.Errorf("%s: unexpected ban %+v", name, b)
			}
		}
		if want := prefixes(c.want); len(got) != len(want) || len(want) > 0 && got[0] != want[0] {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if !strings.Contains(skip.Reason, c.reason) || (skip.Reason == "") != (c.reason == "") || refused != c.refused {
			t.Errorf("%s: %+v, refused %t", name, skip, refused)
		}
	}
}
