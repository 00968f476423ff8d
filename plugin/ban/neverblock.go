package ban

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// mostParts is how many prefixes one decision may be split into. A /8 around one protected address becomes 24.
const mostParts = 1024

// prefixesOf returns the prefixes that a word of ParseNeverBlock stands for.
func prefixesOf(word string) []netip.Prefix {
	switch strings.ToLower(word) {
	case "loopback":
		return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	case "link-local":
		return []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10")}
	case "multicast":
		return []netip.Prefix{netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("ff00::/8")}
	case "private": // RFC 1918 and RFC 4193
		return []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
			netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
		}
	}
	return nil
}

// ParseNeverBlock parses addresses, prefixes, and the words loopback, link-local, multicast and private (RFC 1918 and RFC
// 4193). The error joins the faults of all entries ([errors.Join]).
func ParseNeverBlock(entries []string) ([]netip.Prefix, error) {
	var protected []netip.Prefix
	var faults []error
	for _, entry := range entries {
		if known := prefixesOf(entry); known != nil {
			protected = append(protected, known...)
			continue
		}
		prefix, err := ParsePrefix(entry)
		if err != nil {
			faults = append(faults, fmt.Errorf(
				"%s is neither an address, a prefix nor one of loopback, link-local, multicast, private", shorten(entry)))
			continue
		}
		protected = append(protected, prefix)
	}
	return protected, errors.Join(faults...)
}

// Admit returns the parts of a prefix that may be blocked: the fewest prefixes that leave out what is never blocked, in order.
// If there are none, the error names the prefix or the configuration key that forbids the block.
func (f Filter) Admit(prefix netip.Prefix) ([]netip.Prefix, error) {
	return f.appendAdmitted(nil, prefix)
}

func (f Filter) appendAdmitted(parts []netip.Prefix, prefix netip.Prefix) ([]netip.Prefix, error) {
	prefix, err := canonicalPrefix(prefix)
	if err != nil {
		return parts, err
	}
	if err := checkBlockable(prefix); err != nil {
		return parts, err
	}
	if err := f.checkWidth(prefix); err != nil {
		return parts, err
	}
	inside, err := f.Own.appendInside(nil, prefix)
	if err != nil {
		return parts, err
	}
	for _, protected := range f.NeverBlock {
		if !protected.Overlaps(prefix) {
			continue
		}
		if protected.Bits() <= prefix.Bits() {
			return parts, refuse(NeverBlocked, "lies in %s, which is never blocked", protected)
		}
		inside = append(inside, protected)
	}
	if len(inside) == 0 {
		return append(parts, prefix), nil
	}
	before := len(parts)
	parts = subtract(parts, prefix, inside, before+mostParts+1)
	switch n := len(parts) - before; {
	case n == 0:
		return parts, refuse(NeverBlocked, "all of it is never blocked")
	case n > mostParts:
		return parts[:before], refuse(Other, "leaving out what is never blocked takes more than %d prefixes", mostParts)
	}
	return parts, nil
}

// subtract appends the fewest prefixes that cover the given one without the protected ones, in order. It stops at limit
// prefixes.
func subtract(parts []netip.Prefix, prefix netip.Prefix, protected []netip.Prefix, limit int) []netip.Prefix {
	if len(parts) >= limit {
		return parts
	}
	overlaps := false
	for _, p := range protected {
		if p.Overlaps(prefix) {
			if p.Bits() <= prefix.Bits() {
				return parts
			}
			overlaps = true
		}
	}
	if !overlaps {
		return append(parts, prefix)
	}
	low, high := halves(prefix)
	return subtract(subtract(parts, low, protected, limit), high, protected, limit)
}

// halves splits a prefix of more than one address in two.
func halves(prefix netip.Prefix) (low, high netip.Prefix) {
	bits := prefix.Bits()
	address := slices.Clone(prefix.Addr().AsSlice())
	address[bits/8] |= 0x80 >> (bits % 8)
	upper, _ := netip.AddrFromSlice(address)
	return netip.PrefixFrom(prefix.Addr(), bits+1), netip.PrefixFrom(upper, bits+1)
}
