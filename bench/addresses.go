package main

import (
	"encoding/binary"
	"net/netip"
)

// addresses is a sequence of public addresses, scattered like those of attackers:
// no two are neighbours. It is the same in every run. Nothing connects to them.
type addresses struct{ last uint32 }

// next returns the next n addresses.
func (a *addresses) next(n int) []netip.Prefix {
	prefixes := make([]netip.Prefix, 0, n)
	for len(prefixes) < n {
		a.last++
		// An odd factor maps each number to another one.
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], a.last*2_654_435_761)
		if p := netip.PrefixFrom(netip.AddrFrom4(b), 32); public(p.Addr()) {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}

// public reports whether the plugin blocks an address by default.
func public(a netip.Addr) bool {
	first := a.As4()[0]
	return first != 0 && first < 224 && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast()
}
