package main

import (
	"net/netip"
	"slices"
	"testing"
)

func TestPlanHasEveryNumberWithAndWithoutSSH(t *testing.T) {
	for totals, want := range map[string]struct{ withSSH, withoutSSH []int }{
		"":                    {[]int{1_000, 10_000, 100_000, 300_000}, []int{1_000, 2_000}},
		"100000, 0,1000,1000": {[]int{1_000, 100_000}, []int{1_000}},
	} {
		p, err := options{totals: totals}.plan()
		if err != nil {
			t.Fatal(err)
		}
		var measured [ways][]int
		for _, c := range p.costs {
			for i, tries := range c.tries {
				if tries > 0 {
					measured[i] = append(measured[i], c.bans)
				}
			}
		}
		for i, numbers := range [ways][]int{want.withSSH, want.withSSH, want.withoutSSH} {
			if !slices.Equal(measured[i], numbers) {
				t.Errorf("%q, %s: %v bans in force, want %v", totals, way(i), measured[i], numbers)
			}
		}
	}
	for _, totals := range []string{"x", "1,,2", "-1", "1e6", "999999999"} {
		if _, err := (options{totals: totals}).plan(); err == nil {
			t.Errorf("-totals %s is accepted", totals)
		}
	}
}

func TestAddressesArePublicAndScatteredAndUnique(t *testing.T) {
	var a addresses
	seen := map[netip.Prefix]bool{}
	networks := map[byte]bool{}
	for range 10 {
		for _, p := range a.next(20_000) {
			ip := p.Addr()
			if seen[p] || !p.IsSingleIP() || !ip.IsGlobalUnicast() || ip.IsPrivate() {
				t.Fatalf("%s is not a new public address", p)
			}
			seen[p] = true
			networks[ip.As4()[0]] = true
		}
	}
	if len(networks) < 200 {
		t.Errorf("all lie in %d networks", len(networks))
	}
	var again addresses
	if first := again.next(1)[0]; !seen[first] {
		t.Errorf("another run has other addresses: %s", first)
	}
}
