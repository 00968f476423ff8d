package main

import (
	"net/netip"
	"slices"
	"strings"
)

// harmless are the addresses that say nothing of anybody: those for
// documentation (RFC 5737, RFC 3849), and what a list of all addresses begins
// and ends with.
var harmless = []netip.Prefix{
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("0.0.0.0/32"), netip.MustParsePrefix("255.255.255.255/32"), netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"),
}

// withoutPlaces returns a text without what tells where somebody's appliance
// is: any address but the harmless ones, and the appliance's host.
func withoutPlaces(text, host string) string {
	if host != "" && !isAddress(host) {
		text = strings.ReplaceAll(text, host, "(host)")
	}
	var b strings.Builder
	for text != "" {
		n := strings.IndexFunc(text, inAddress)
		if n < 0 {
			n = len(text)
		}
		b.WriteString(text[:n])
		text = text[n:]
		n = strings.IndexFunc(text, func(r rune) bool { return !inAddress(r) })
		if n < 0 {
			n = len(text)
		}
		b.WriteString(withoutPlace(text[:n]))
		text = text[n:]
	}
	return b.String()
}

// withoutPlace is withoutPlaces for a run of the characters that addresses are
// made of. There may be a port behind an address, or the end of a word before it.
func withoutPlace(run string) string {
	for start := range run {
		for end := len(run); end > start; end-- {
			address, err := netip.ParseAddr(run[start:end])
			if err != nil {
				continue
			}
			place := "(address)"
			if slices.ContainsFunc(harmless, func(p netip.Prefix) bool { return p.Contains(address.Unmap()) }) {
				place = run[start:end]
			}
			return run[:start] + place + withoutPlace(run[end:])
		}
	}
	return run
}

func inAddress(r rune) bool { return strings.ContainsRune("0123456789abcdefABCDEF:.", r) }

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
