package objects

import (
	"net/netip"
	"slices"
)

// Comparison is the difference between the two files and the bans in force.
type Comparison struct {
	// Members are the members of the group of bans in force, in the order of the file.
	Members []netip.Prefix
	// Wrong are the bans in force whose lines in the files are missing or wrong.
	Wrong []netip.Prefix
	// Leftovers are prefixes that are not in force and still in the files: members of
	// our groups, and objects that no other group lists.
	Leftovers []netip.Prefix
	// Complete says that both groups are there.
	Complete bool
}

// sighting says where a prefix was found.
type sighting uint8

const (
	seenObject sighting = 1 << iota
	seenMember
	seenEnded
	seenWrong // a wrong value, or a second line

	seenRight = seenObject | seenMember
)

// Compare compares the files with the bans in force.
func Compare(object, objectgroup []byte, group, deleteGroup string, inForce Set) Comparison {
	s := Comparison{
		Members:  slices.Collect(Members(objectgroup, group)),
		Complete: HasSection(objectgroup, group) && HasSection(objectgroup, deleteGroup),
	}
	seen := make([]sighting, inForce.Len())
	others := map[netip.Prefix]sighting{}
	see := func(p netip.Prefix, found sighting) {
		i, ok := inForce.index(p)
		if !ok {
			others[p] |= found
			return
		}
		if seen[i]&found != 0 {
			found = seenWrong
		}
		seen[i] |= found
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
		} else if p, ok := parseOurs(section, line); ok {
			see(p, seenObject)
			if _, value := split(entry(line)); !isValueOf(value, p) {
				see(p, seenWrong)
			}
		}
	}
	for i, p := range inForce.sorted {
		if seen[i] != seenRight {
			s.Wrong = append(s.Wrong, p)
		}
	}
	if len(others) == 0 {
		return s
	}
	used := Referenced(objectgroup, group, deleteGroup)
	for p, found := range others {
		if found&(seenMember|seenEnded) != 0 || !used.Has(p) {
			s.Leftovers = append(s.Leftovers, p)
		}
	}
	slices.SortFunc(s.Leftovers, netip.Prefix.Compare)
	return s
}
