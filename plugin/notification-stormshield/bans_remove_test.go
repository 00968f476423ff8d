package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
)

func TestThePartsOfARangeAreThoseThatOneDecisionLeft(t *testing.T) {
	end := time.Now().Add(time.Hour)
	range24 := netip.MustParsePrefix("203.0.113.0/24")
	// split is the ban of a range around what was never blocked at that time.
	split := func(until time.Time, protected ...string) (bans []standing) {
		never, err := ban.ParseNeverBlock(protected)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := ban.Filter{NeverBlock: never}.Admit(range24)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			bans = append(bans, standing{Prefix: p, Until: until, Origin: "crowdsec", Scenario: "ssh-bf"})
		}
		return bans
	}
	of := func(until time.Time, origin string, prefixes ...string) (bans []standing) {
		for _, p := range prefixes {
			bans = append(bans, standing{Prefix: netip.MustParsePrefix(p), Until: until, Origin: origin, Scenario: "ssh-bf"})
		}
		return bans
	}
	var addresses []string // 200 addresses of one list
	for i := range 200 {
		addresses = append(addresses, fmt.Sprintf("203.0.113.%d/32", i))
	}
	one := split(end, "203.0.113.77")
	for name, c := range map[string]struct {
		bans, parts []standing
	}{
		"around one address":                      {bans: one, parts: one},
		"around a quarter and two addresses":      {bans: split(end, "203.0.113.64/26", "203.0.113.1", "203.0.113.200"), parts: split(end, "203.0.113.64/26", "203.0.113.1", "203.0.113.200")},
		"beside an address of another decision":   {bans: append(of(end.Add(time.Hour), "crowdsec", "203.0.113.9/32"), one...), parts: one},
		"around an address of the same end":       {bans: append(of(end, "crowdsec", "203.0.113.9/32"), one...), parts: one},
		"beside a part that stands longer":        {bans: append(of(end.Add(time.Hour), "cscli", "203.0.113.78/31"), slices.DeleteFunc(slices.Clone(one), func(b standing) bool { return b.Prefix.Bits() == 31 })...), parts: slices.DeleteFunc(slices.Clone(one), func(b standing) bool { return b.Prefix.Bits() == 31 })},
		"some addresses of one decision":          {bans: of(end, "crowdsec", "203.0.113.9/32", "203.0.113.200/32")},
		"two hundred addresses of one list":       {bans: of(end, "lists", addresses...)},
		"a quarter":                               {bans: of(end, "crowdsec", "203.0.113.0/26")},
		"the range itself, and one that it is in": {bans: of(end, "crowdsec", "203.0.113.0/24", "203.0.0.0/16")},
	} {
		got := partsOf(range24, c.bans, ban.Filter{})
		want := make([]netip.Prefix, 0, len(c.parts))
		for _, b := range c.parts {
			want = append(want, b.Prefix)
		}
		slices.SortFunc(got, netip.Prefix.Compare)
		slices.SortFunc(want, netip.Prefix.Compare)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestThePartsOfARangeThatIsMostlyProtectedAreFound(t *testing.T) {
	never, err := ban.ParseNeverBlock([]string{"203.0.113.0/25", "203.0.113.128/26"})
	if err != nil {
		t.Fatal(err)
	}
	left := standing{Prefix: netip.MustParsePrefix("203.0.113.192/26"), Until: time.Now().Add(time.Hour)}
	got := partsOf(netip.MustParsePrefix("203.0.113.0/24"), []standing{left}, ban.Filter{NeverBlock: never})
	if !strings.Contains(fmt.Sprint(got), left.Prefix.String()) {
		t.Errorf("parts %v, want %v", got, left.Prefix)
	}
}
