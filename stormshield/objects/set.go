package objects

import (
	"iter"
	"net/netip"
	"slices"
)

// Set is a set of prefixes. It is a sorted slice, which needs a third of the memory
// of a map.
type Set struct {
	sorted []netip.Prefix
}

// NewSet returns the set of the given prefixes. It sorts the slice, and keeps it.
func NewSet(prefixes []netip.Prefix) Set {
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	return Set{slices.Compact(prefixes)}
}

// Len returns how many prefixes the set holds.
func (s Set) Len() int { return len(s.sorted) }

// Has reports whether p is in the set.
func (s Set) Has(p netip.Prefix) bool {
	_, ok := s.index(p)
	return ok
}

// All yields the prefixes in their order.
func (s Set) All() iter.Seq[netip.Prefix] { return slices.Values(s.sorted) }

// Union returns a set of the prefixes of both.
func (s Set) Union(t Set) Set {
	if t.Len() == 0 {
		return s
	}
	return NewSet(slices.Concat(s.sorted, t.sorted))
}

func (s Set) index(p netip.Prefix) (int, bool) {
	return slices.BinarySearchFunc(s.sorted, p, netip.Prefix.Compare)
}
