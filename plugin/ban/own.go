package ban

import (
	"maps"
	"net/netip"
	"sync/atomic"
)

// loopback is never blocked where [OwnAddresses] are set. Every loopback address leads to this machine, also if no interface
// has it.
var loopback = prefixesOf("loopback")

// OwnAddresses is a set of addresses that are never blocked, such as those of this machine. The configuration cannot change
// that. The set may change while filters use it. Nil is an empty set.
type OwnAddresses struct {
	addresses atomic.Pointer[map[netip.Addr]string]
}

// Set replaces the addresses. Each has a text that names its owner, such as "an address of this machine". Set reports whether
// the addresses differ from those before.
func (o *OwnAddresses) Set(addresses map[netip.Addr]string) (changed bool) {
	next := make(map[netip.Addr]string, len(addresses))
	for address, whose := range addresses {
		next[address.WithZone("").Unmap()] = whose
	}
	var before map[netip.Addr]string
	if old := o.addresses.Swap(&next); old != nil {
		before = *old
	}
	return !maps.EqualFunc(next, before, func(string, string) bool { return true })
}

// appendInside appends the addresses of the set that lie inside a prefix. It returns an error if the prefix itself is one.
func (o *OwnAddresses) appendInside(found []netip.Prefix, prefix netip.Prefix) ([]netip.Prefix, error) {
	if o == nil {
		return found, nil
	}
	for _, p := range loopback {
		switch {
		case !p.Overlaps(prefix):
		case p.Bits() <= prefix.Bits():
			return found, refuse(OwnAddress, "it is a loopback address of this machine (%s)", p)
		default:
			found = append(found, p)
		}
	}
	current := o.addresses.Load()
	if current == nil {
		return found, nil
	}
	if prefix.IsSingleIP() {
		if whose, own := (*current)[prefix.Addr()]; own {
			return found, refuse(OwnAddress, "it is %s", whose)
		}
		return found, nil
	}
	for address := range *current {
		if prefix.Contains(address) {
			found = append(found, netip.PrefixFrom(address, address.BitLen()))
		}
	}
	return found, nil
}
