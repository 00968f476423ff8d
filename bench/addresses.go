package main

import (
	"encoding/binary"
	"net/netip"
)

// addresses gives out addresses that are scattered over all that is public,
// as those of attackers are: their text is as long as usual, and no two of
// them follow each other. They are the same in every run. None is ever
// contacted.
type addresses struct{ given uint32 }

// next returns so many that were not given out before.
func (a *addresses) next(n int) []netip.Prefix {
	prefixes := make([]netip.Prefix, 0, n)
	for len(prefixes) < n {
		a.given++
		// An odd factor maps each number to another one.
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], a.given*2_654_435_761)
		if p := netip.PrefixFrom(netip.AddrFrom4(b), 32); public(p.Addr()) {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}

// public says that no plugin refuses to block an address by default.
func public(a netip.Addr) bool {
	first := a.As4()[0]
	return first != 0 && first < 224 && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast()
}
