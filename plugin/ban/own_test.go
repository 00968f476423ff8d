package ban_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"notification-stormshield/plugin/ban"
)

func filterWithOwn(addresses map[string]string) ban.Filter {
	set := map[netip.Addr]string{}
	for text, whose := range addresses {
		set[netip.MustParseAddr(text)] = whose
	}
	f := ban.Filter{Own: new(ban.OwnAddresses)}
	f.Own.Set(set)
	return f
}

func TestAnOwnAddressIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	f := filterWithOwn(map[string]string{
		"203.0.113.10": "an address of this machine", "::ffff:203.0.113.11": "an address of this machine", "fe80::1%eth0": "an address of this machine",
		"2001:db8::8": "the Local API's address",
	})
	for prefix, reason := range map[string]string{
		"203.0.113.10/32": "it is an address of this machine", "203.0.113.11/32": "it is an address of this machine", "fe80::1/128": "it is an address of this machine",
		"2001:db8::8/128": "it is the Local API's address", "127.0.1.1/32": "loopback", "127.0.0.0/16": "loopback",
	} {
		if parts, err := f.Admit(netip.MustParsePrefix(prefix)); err == nil || !strings.Contains(err.Error(), reason) || len(parts) > 0 {
			t.Errorf("%s: %v, %v", prefix, parts, err)
		}
	}
	if parts, err := f.Admit(netip.MustParsePrefix("203.0.113.9/32")); err != nil || len(parts) != 1 {
		t.Errorf("another address: %v, %v", parts, err)
	}
}

func TestARangeAroundAnOwnAddressIsSplit(t *testing.T) {
	t.Parallel()
	f := filterWithOwn(map[string]string{"203.0.113.10": "an address of this machine"})
	f.NeverBlock = prefixes("203.0.113.128/25")
	parts, err := f.Admit(netip.MustParsePrefix("203.0.113.0/24"))
	want := prefixes("203.0.113.0/29 203.0.113.8/31 203.0.113.11/32 203.0.113.12/30 203.0.113.16/28 203.0.113.32/27 203.0.113.64/26")
	if err != nil || !slices.Equal(parts, want) {
		t.Errorf("parts %v, want %v: %v", parts, want, err)
	}
	parts, err = f.Admit(netip.MustParsePrefix("126.0.0.0/7"))
	if err != nil || !slices.Equal(parts, prefixes("126.0.0.0/8")) {
		t.Errorf("around loopback: %v, %v", parts, err)
	}
}

func TestSetReportsThatTheAddressesChanged(t *testing.T) {
	t.Parallel()
	own := new(ban.OwnAddresses)
	one, two := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	for i, c := range []struct {
		set  map[netip.Addr]string
		want bool
	}{
		{map[netip.Addr]string{one: "a"}, true}, {map[netip.Addr]string{one: "b"}, false}, {map[netip.Addr]string{two: "a"}, true}, {nil, true}, {nil, false},
	} {
		if got := own.Set(c.set); got != c.want {
			t.Errorf("set %d: %v", i, got)
		}
	}
	if _, err := (ban.Filter{Own: own}).Admit(netip.PrefixFrom(two, 32)); err != nil {
		t.Errorf("an address that went away: %v", err)
	}
}
