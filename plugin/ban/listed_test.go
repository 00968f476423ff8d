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
		change func(*ban.Listed)
		want   string
		reason string
		kind   ban.Kind
	}{
		"an address":        {func(*ban.Listed) {}, "203.0.113.7/32", "", ""},
		"a range":           {func(l *ban.Listed) { l.Value, l.Scope = "203.0.113.9/24", "Range" }, "203.0.113.0/24", "", ""},
		"split":             {func(l *ban.Listed) { l.Value = "198.51.100.0/24" }, "198.51.100.128/25", "", ""},
		"never blocked":     {func(l *ban.Listed) { l.Value = "198.51.100.1" }, "", "198.51.100.0/25", ban.NeverBlocked},
		"too wide":          {func(l *ban.Listed) { l.Value = "2.0.0.0/7" }, "", "min_prefix_ipv4", ban.TooWide},
		"no address":        {func(l *ban.Listed) { l.Value = "x\n" }, "", "not an address", ban.Malformed},
		"another scope":     {func(l *ban.Listed) { l.Scope = "AS" }, "", "scope", ""},
		"another type":      {func(l *ban.Listed) { l.Type = "captcha" }, "", "type", ""},
		"another origin":    {func(l *ban.Listed) { l.Origin = "cscli" }, "", "origin", ""},
		"excluded scenario": {func(l *ban.Listed) { l.Scenario = "http-crawl" }, "", "excluded", ""},
	} {
		l := good
		c.change(&l)
		bans, skip := filter.AdmitListed(l, now)
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
		if !strings.Contains(skip.Reason, c.reason) || (skip.Reason == "") != (c.reason == "") || skip.Kind != c.kind {
			t.Errorf("%s: %+v, want kind %s", name, skip, c.kind)
		}
	}
}
