package main

import (
	"net/netip"
	"slices"
	"strings"
)

// harmless are addresses that identify nobody: those for documentation (RFC 5737, RFC 3849), those of the loopback
// interface, and the first and the last address.
var harmless = []netip.Prefix{
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("0.0.0.0/32"), netip.MustParsePrefix("255.255.255.255/32"), netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"),
}

// hidePlaces replaces the host and each address in a text, except for the harmless ones.
func hidePlaces(text, host string) string {
	if host != "" && !isAddress(host) {
		text = strings.ReplaceAll(text, host, "(host)")
	}
	var b strings.Builder
	for text != "" {
		n := strings.IndexFunc(text, isInAddress)
		if n < 0 {
			n = len(text)
		}
		b.WriteString(text[:n])
		text = text[n:]
		n = strings.IndexFunc(text, func(r rune) bool { return !isInAddress(r) })
		if n < 0 {
			n = len(text)
		}
		b.WriteString(hideAddresses(text[:n]))
		text = text[n:]
	}
	return b.String()
}

// hideAddresses replaces the addresses in a run of characters that addresses consist of. A port may follow an address, and
// the end of a word may precede it.
func hideAddresses(run string) string {
	for start := range run {
		for end := len(run); end > start; end-- {
			address, err := netip.ParseAddr(run[start:end])
			if err != nil {
				continue
			}
			shown := "(address)"
			if slices.ContainsFunc(harmless, func(p netip.Prefix) bool { return p.Contains(address.Unmap()) }) {
				shown = run[start:end]
			}
			return run[:start] + shown + hideAddresses(run[end:])
		}
	}
	return run
}

func isInAddress(r rune) bool { return strings.ContainsRune("0123456789abcdefABCDEF:.", r) }

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
