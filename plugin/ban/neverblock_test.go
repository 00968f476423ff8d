package ban_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"notification-stormshield/plugin/ban"
)

func prefixes(text string) []netip.Prefix {
	var all []netip.Prefix
	for _, field := range strings.Fields(text) {
		all = append(all, netip.MustParsePrefix(field))
	}
	return all
}

func TestAdmitReturnsThePartsThatAreNotProtected(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		never, prefix, want string
		refusal             string
	}{
		"nothing protected":           {"", "198.51.100.0/24", "198.51.100.0/24", ""},
		"beside a protected range":    {"198.51.100.0/24", "198.51.101.0/24", "198.51.101.0/24", ""},
		"another family":              {"::/1", "198.51.100.0/24", "198.51.100.0/24", ""},
		"all of IPv6":                 {"2000::/3", "2001:db8::7/128", "", "2000::/3"},
		"IPv4 beside all of IPv6":     {"2000::/3", "198.51.100.7/32", "198.51.100.7/32", ""},
		"unmasked":                    {"", "198.51.100.7/24", "198.51.100.0/24", ""},
		"IPv4-mapped":                 {"198.51.100.0/25", "::ffff:198.51.100.0/120", "198.51.100.128/25", ""},
		"inside":                      {"10.0.0.0/8", "10.1.0.0/16", "", "10.0.0.0/8"},
		"the same":                    {"198.51.100.7/32", "198.51.100.7/32", "", "198.51.100.7/32"},
		"half":                        {"198.51.100.0/25", "198.51.100.0/24", "198.51.100.128/25", ""},
		"both halves":                 {"198.51.100.0/25 198.51.100.128/25", "198.51.100.0/24", "", "all of it"},
		"a quarter":                   {"198.51.100.64/26", "198.51.100.0/24", "198.51.100.0/26 198.51.100.128/25", ""},
		"two, sorted":                 {"198.51.100.255/32 198.51.100.0/32", "198.51.100.0/29", "198.51.100.1/32 198.51.100.2/31 198.51.100.4/30", ""},
		"nested":                      {"198.51.100.0/25 198.51.100.1/32", "198.51.100.0/24", "198.51.100.128/25", ""},
		"too wide":                    {"", "198.0.0.0/7", "", "min_prefix_ipv4"},
		"just not too wide":           {"", "198.0.0.0/8", "198.0.0.0/8", ""},
		"too wide in IPv6":            {"", "2001:d00::/31", "", "min_prefix_ipv6"},
		"too wide as IPv4-mapped":     {"", "::ffff:198.0.0.0/103", "", "min_prefix_ipv4"},
		"the first range of all":      {"", "0.0.0.0/8", "", "no host"},
		"wide IPv6 without addresses": {"", "::/32", "", "every IPv4"},
	} {
		t.Run(name, func(t *testing.T) {
			filter := ban.Filter{NeverBlock: prefixes(test.never), MinPrefixIPv4: 8, MinPrefixIPv6: 32}
			got, err := filter.Admit(netip.MustParsePrefix(test.prefix))
			if want := prefixes(test.want); !slices.Equal(got, want) {
				t.Errorf("admitted %v, want %v", got, want)
			}
			switch {
			case test.refusal == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.refusal != "" && (err == nil || !strings.Contains(err.Error(), test.refusal)):
				t.Errorf("error = %v, want it to name %s", err, test.refusal)
			}
		})
	}
}

func TestAdmitRefusesAnInvalidPrefix(t *testing.T) {
	t.Parallel()
	if got, err := (ban.Filter{}).Admit(netip.Prefix{}); err == nil {
		t.Errorf("admitted %v", got)
	}
}

func TestAdmitLeavesOneHostOutOfAWideRange(t *testing.T) {
	t.Parallel()
	got, err := ban.Filter{NeverBlock: prefixes("11.1.2.3/32")}.Admit(netip.MustParsePrefix("11.0.0.0/8"))
	if err != nil || len(got) != 24 {
		t.Errorf("%d parts, %v; want 24", len(got), err)
	}
}

func TestAdmitRefusesTooManyParts(t *testing.T) {
	t.Parallel()
	var never []netip.Prefix
	for i := range 256 {
		never = append(never, netip.MustParsePrefix(fmt.Sprintf("11.%d.7.9/32", i)))
	}
	got, err := ban.Filter{NeverBlock: never}.Admit(netip.MustParsePrefix("11.0.0.0/8"))
	if err == nil || len(got) != 0 {
		t.Errorf("admitted %d parts, %v", len(got), err)
	}
}

func TestAdmitLeavesOutExactlyWhatIsProtected(t *testing.T)     { admitRandomRanges(t, 300) }
func TestLongAdmitLeavesOutExactlyWhatIsProtected(t *testing.T) { admitRandomRanges(t, 3000) }

// admitRandomRanges tries random ranges with random holes. It checks every address of each.
func admitRandomRanges(t *testing.T, rounds int) {
	t.Helper()
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range rounds {
		base, family := netip.MustParseAddr("198.51.100.0"), 32
		if random.IntN(2) == 0 {
			base, family = netip.MustParseAddr("2001:db8::100"), 128
		}
		wide := netip.PrefixFrom(base, family-8)
		var never []netip.Prefix
		for range 1 + random.IntN(5) {
			last := base.AsSlice()
			last[len(last)-1] = byte(random.IntN(256))
			hole, _ := netip.AddrFromSlice(last)
			never = append(never, netip.PrefixFrom(hole, family-random.IntN(9)).Masked())
		}
		parts, err := ban.Filter{NeverBlock: never}.Admit(wide)
		if (err != nil) != (len(parts) == 0) {
			t.Fatalf("%v: %d parts and error %v", never, len(parts), err)
		}
		checkParts(t, wide, never, parts)
	}
}

// checkParts fails the test unless the parts cover each address once that is not protected. The parts must be in order, and
// no two of them may form one prefix.
func checkParts(t *testing.T, wide netip.Prefix, never, parts []netip.Prefix) {
	t.Helper()
	contains := func(all []netip.Prefix, address netip.Addr) (n int) {
		for _, p := range all {
			if p.Contains(address) {
				n++
			}
		}
		return n
	}
	for address := wide.Addr(); wide.Contains(address); address = address.Next() {
		want := 1
		if contains(never, address) > 0 {
			want = 0
		}
		if got := contains(parts, address); got != want {
			t.Fatalf("%v without %v: %s is in %d parts of %v", wide, never, address, got, parts)
		}
	}
	for i := 1; i < len(parts); i++ {
		if !parts[i-1].Addr().Less(parts[i].Addr()) {
			t.Fatalf("parts are not in order: %v", parts)
		}
		if a, b := parts[i-1], parts[i]; a.Bits() == b.Bits() && netip.PrefixFrom(a.Addr(), a.Bits()-1).Contains(b.Addr()) &&
			netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked().Addr() == a.Addr() {
			t.Fatalf("%v and %v are one prefix", a, b)
		}
	}
}

func TestParseNeverBlockKnowsWordsAddressesAndPrefixes(t *testing.T) {
	t.Parallel()
	got, err := ban.ParseNeverBlock([]string{"Loopback", "link-local", "multicast", "private", "192.0.2.1", "2001:db8::7/32", "::ffff:198.51.100.0/120"})
	if err != nil {
		t.Fatal(err)
	}
	want := prefixes("127.0.0.0/8 ::1/128 169.254.0.0/16 fe80::/10 224.0.0.0/4 ff00::/8 " +
		"10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 192.0.2.1/32 2001:db8::/32 198.51.100.0/24")
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestParseNeverBlockReturnsEveryFault(t *testing.T) {
	t.Parallel()
	got, err := ban.ParseNeverBlock([]string{"privat", "192.0.2.1", "10.0.0.0/99", ""})
	if err == nil || strings.Count(err.Error(), "\n") != 2 || !strings.Contains(err.Error(), "privat ") || !strings.Contains(err.Error(), "10.0.0.0/99") {
		t.Errorf("error = %v, want three faults", err)
	}
	if len(got) != 1 {
		t.Errorf("kept %v, want the good one", got)
	}
}
