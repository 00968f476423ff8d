package ban_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"notification-stormshield/plugin/ban"
)

func TestEachRefusalHasAKind(t *testing.T) {
	t.Parallel()
	filter := ban.Filter{NeverBlock: prefixes("198.51.100.0/24"), Own: new(ban.OwnAddresses), MinPrefixIPv4: 8, MinPrefixIPv6: 32}
	filter.Own.Set(map[netip.Addr]string{netip.MustParseAddr("203.0.113.10"): "an address of this machine"})
	addressesOnly := filter
	addressesOnly.AddressesOnly = true
	seen := map[ban.Kind]bool{}
	for _, c := range []struct {
		filter ban.Filter
		change map[string]any
		want   ban.Kind
	}{
		{filter, map[string]any{"value": "198.51.100.7"}, ban.NeverBlocked},
		{filter, map[string]any{"value": "198.51.100.0/25"}, ban.NeverBlocked},
		{filter, map[string]any{"value": "203.0.113.10"}, ban.OwnAddress},
		{filter, map[string]any{"value": "127.0.0.1"}, ban.OwnAddress},
		{filter, map[string]any{"value": "16.0.0.0/7"}, ban.TooWide},
		{filter, map[string]any{"value": "2001::/16"}, ban.TooWide},
		{filter, map[string]any{"value": "0.0.0.0/0"}, ban.TooWide},
		{filter, map[string]any{"value": "::ffff:0:0/90"}, ban.TooWide},
		{addressesOnly, map[string]any{"value": "192.0.2.0/24"}, ban.Scope},
		{filter, map[string]any{"value": "nowhere"}, ban.Malformed},
		{filter, map[string]any{"duration": "3600"}, ban.Malformed},
		{filter, map[string]any{"value": 5}, ban.Malformed},
		{filter, map[string]any{"value": "0.0.0.0"}, ban.Other},
		{filter, map[string]any{"value": "255.255.255.255"}, ban.Other},
	} {
		seen[c.want] = true
		result := read(t, "["+alertOf(decisionOf(c.change))+"]", c.filter)
		if want := map[ban.Kind]int{c.want: 1}; !maps.Equal(result.Refused.ByKind, want) {
			t.Errorf("%v: %v, want %v", c.change, result.Refused.ByKind, want)
		}
	}
	if all := ban.Kinds(); len(seen) != len(all) || slices.ContainsFunc(all, func(k ban.Kind) bool { return !seen[k] }) {
		t.Errorf("cases for %v, and the kinds are %v", seen, all)
	}
}

// The rest of a range is blocked, so nothing was refused.
func TestARangeThatLosesAPartIsNotRefused(t *testing.T) {
	t.Parallel()
	result := read(t, "["+alertOf(decisionOf(map[string]any{"value": "198.51.0.0/16"}))+"]", ban.Filter{NeverBlock: prefixes("198.51.100.0/24")})
	if result.Refused.Total != 0 || len(result.Decisions) == 0 {
		t.Errorf("%+v", result)
	}
}

func TestAnIgnoredDecisionHasNoKind(t *testing.T) {
	t.Parallel()
	result := read(t, "["+alertOf(decisionOf(map[string]any{"type": "captcha"}))+"]", ban.Filter{})
	if result.Ignored.Total != 1 || result.Ignored.ByKind != nil || result.Ignored.First[0].Kind != "" {
		t.Errorf("%+v", result.Ignored)
	}
}
