package objects

import (
	"net/netip"
	"slices"
)

// Comparison is what the two files say of prefixes, beside what they should say.
type Comparison struct {
	// Members are what the group of bans in force lists, in the order of the
	// file.
	Members []netip.Prefix
	// Wrong are the bans in force of which the files do not say, or not
	// exactly, what they should.
	Wrong []netip.Prefix
	// Leftovers are prefixes that the files name for us though they are not in
	// force: members of our groups, and objects that no other group lists.
	Leftovers []netip.Prefix
	// Complete says that both groups are there.
	Complete bool
}

// sighting is what was seen of a prefix.
type sighting uint8

const (
	seenObject sighting = 1 << iota
	seenMember
	seenEnded
	seenAmiss // a wrong value, or a second line

	inOrder = seenObject | seenMember
)

// Compare compares the files with what is in force. used are the prefixes that
// other groups list.
func Compare(object, objectgroup []byte, group, deleteGroup string, standing Set) Comparison {
	s := Comparison{
		Members:  slices.Collect(Members(objectgroup, group)),
		Complete: HasSection(objectgroup, group) && HasSection(objectgroup, deleteGroup),
	}
	seen := make([]sighting, standing.Len())
	others := map[netip.Prefix]sighting{}
	see := func(p netip.Prefix, what sighting) {
		i, ok := standing.index(p)
		if !ok {
			others[p] |= what
			return
		}
		if seen[i]&what != 0 {
			what = seenAmiss
		}
		seen[i] |= what
	}
	for _, p := range s.Members {
		see(p, seenMember)
	}
	for p := range Members(objectgroup, deleteGroup) {
		see(p, seenEnded)
	}
	section := ""
	for line := range lines(object) {
		if name, opens := header(line); opens {
			section = name
		} else if p, ok := ours(section, line); ok {
			see(p, seenObject)
			if _, value := split(entry(line)); !holds(value, p) {
				see(p, seenAmiss)
			}
		}
	}
	for i, p := range standing.sorted {
		if seen[i] != inOrder {
			s.Wrong = append(s.Wrong, p)
		}
	}
	if len(others) == 0 {
		return s
	}
	used := Referenced(objectgroup, group, deleteGroup)
	for p, what := range others {
		if what&(seenMember|seenEnded) != 0 || !used.Has(p) {
			s.Leftovers = append(s.Leftovers, p)
		}
	}
	slices.SortFunc(s.Leftovers, netip.Prefix.Compare)
	return s
}
