package main

import (
	"net/netip"
	"slices"
	"testing"
)

func TestPlanHasEveryNumberOverBothNetworks(t *testing.T) {
	for totals, want := range map[string][]int{"": {1_000, 10_000, 100_000, 300_000}, "100000, 0,1000,1000": {1_000, 100_000}} {
		p, err := options{totals: totals}.plan()
		if err != nil {
			t.Fatal(err)
		}
		var near, far []int
		for _, c := range p.costs {
			if c.link == emulated {
				far = append(far, c.bans)
			} else {
				near = append(near, c.bans)
			}
			if c.tries[wholeFiles] < 1 || c.tries[changeOnly] < c.tries[wholeFiles] {
				t.Errorf("tries %v with %d over %s", c.tries, c.bans, network(c.link))
			}
		}
		if !slices.Equal(near, want) || !slices.Equal(far, want) {
			t.Errorf("%q: %v over loopback, %v over the link, want %v", totals, near, far, want)
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
