package ban

import (
	"errors"
	"net/netip"
	"strings"
)

var (
	ipv4Mapped     = netip.MustParsePrefix("::ffff:0:0/96")
	ipv4Compatible = netip.MustParsePrefix("::/96")
	broadcast      = netip.MustParseAddr("255.255.255.255")
)

// ParsePrefix parses an address or a CIDR: CrowdSec uses both in the scopes Ip and Range. Like CrowdSec, it drops the bits
// beyond the mask. An IPv4-mapped prefix becomes IPv4.
func ParsePrefix(text string) (netip.Prefix, error) {
	switch {
	case text == "":
		return netip.Prefix{}, errors.New("value is empty")
	case len(text) > longestField:
		return netip.Prefix{}, errors.New("value is too long for an address or a range")
	case strings.Contains(text, "%"):
		return netip.Prefix{}, errors.New("an address with a zone means something on one host only")
	case strings.Contains(text, "/"):
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return netip.Prefix{}, errors.New("value is not an address or a range")
		}
		return canonicalPrefix(prefix)
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, errors.New("value is not an address or a range")
	}
	return canonicalPrefix(netip.PrefixFrom(address, address.BitLen()))
}

// canonicalPrefix returns a prefix masked, and as IPv4 if it is IPv4-mapped.
func canonicalPrefix(prefix netip.Prefix) (netip.Prefix, error) {
	if !prefix.IsValid() {
		return netip.Prefix{}, errors.New("value is not an address or a range")
	}
	prefix = prefix.Masked()
	if prefix.Addr().Is4() || !prefix.Overlaps(ipv4Mapped) {
		return prefix, nil
	}
	if prefix.Bits() < ipv4Mapped.Bits() {
		return netip.Prefix{}, refuse(TooWide, "range covers every IPv4-mapped address, which is all of IPv4")
	}
	return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-ipv4Mapped.Bits()), nil
}

// checkBlockable refuses prefixes that no configuration may block. The number of an address in ::/96 is also the number of an
// IPv4 address, and the number names the object on the appliance.
func checkBlockable(prefix netip.Prefix) error {
	address := prefix.Addr()
	switch {
	case prefix.Bits() == 0:
		return refuse(TooWide, "range covers every address")
	case address.IsUnspecified():
		return refuse(Other, "%s is no host's address", address)
	case address == broadcast:
		return refuse(Other, "255.255.255.255 is the broadcast address")
	case address.Is6() && ipv4Compatible.Overlaps(prefix):
		return refuse(Other, "addresses in ::/96 are reserved")
	}
	return nil
}
