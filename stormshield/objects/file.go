package objects

import (
	"bytes"
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// Mark is the comment below the header of a section of `object` that a patch made.
// [Remove] removes such a header, and no other one.
const Mark = "# section made by notification-stormshield"

// addNothing adds nothing below any header.
func addNothing(string, bool) iter.Seq[string] { return func(func(string) bool) {} }

// parseOurs returns the prefix of the object that a line of a section of `object`
// defines, if it is one of ours.
func parseOurs(section string, line []byte) (netip.Prefix, bool) {
	if section != HostSection && section != NetworkSection {
		return netip.Prefix{}, false
	}
	name, _ := split(entry(line))
	p, ok := Parse(name)
	return p, ok && Section(p) == section
}

// Defined yields the prefixes of our objects in the text of `object`.
func Defined(object []byte) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		section := ""
		for line := range lines(object) {
			if name, opens := header(line); opens {
				section = name
			} else if p, ok := parseOurs(section, line); ok && !yield(p) {
				return
			}
		}
	}
}

// Members yields the prefixes of our objects that a group lists in the text of
// `objectgroup`.
func Members(objectgroup []byte, group string) iter.Seq[netip.Prefix] {
	return members(objectgroup, func(section string) bool { return section == group })
}

// Referenced returns the prefixes of our objects that other groups list. The
// administrator uses them, so their objects must stay.
func Referenced(objectgroup []byte, except ...string) Set {
	var used []netip.Prefix
	for p := range members(objectgroup, func(section string) bool { return !slices.Contains(except, section) }) {
		used = append(used, p)
	}
	return NewSet(used)
}

// Listed returns the prefixes of our objects that groups list, each with the first such group.
func Listed(objectgroup []byte) map[netip.Prefix]string {
	listed := map[netip.Prefix]string{}
	section := ""
	for line := range lines(objectgroup) {
		if name, opens := header(line); opens {
			section = name
		} else if p, ok := Parse(string(entry(line))); ok && listed[p] == "" {
			listed[p] = section
		}
	}
	return listed
}

// ForeignMembers returns the members of a group that are not ours.
func ForeignMembers(objectgroup []byte, group string) []string {
	var names []string
	section := ""
	for line := range lines(objectgroup) {
		if name, opens := header(line); opens {
			section = name
		} else if e := entry(line); section == group && len(e) > 0 {
			if _, ok := Parse(string(e)); !ok {
				names = append(names, string(e))
			}
		}
	}
	return names
}

// Entries counts all members of a group.
func Entries(objectgroup []byte, group string) int {
	n, section := 0, ""
	for line := range lines(objectgroup) {
		if name, opens := header(line); opens {
			section = name
		} else if section == group && len(entry(line)) > 0 {
			n++
		}
	}
	return n
}

// HasSection reports whether the text opens a section of that name.
func HasSection(text []byte, section string) bool {
	for line := range lines(text) {
		if name, opens := header(line); opens && name == section {
			return true
		}
	}
	return false
}

func members(objectgroup []byte, in func(section string) bool) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		section := ""
		for line := range lines(objectgroup) {
			if name, opens := header(line); opens {
				section = name
			} else if in(section) {
				if p, ok := Parse(string(entry(line))); ok && !yield(p) {
					return
				}
			}
		}
	}
}

// isValueOf reports whether the value of an object's line means p.
func isValueOf(value []byte, p netip.Prefix) bool {
	address, _, _ := strings.Cut(string(value), ",")
	address = strings.Trim(address, `" `)
	if p.IsSingleIP() {
		a, err := netip.ParseAddr(address)
		return err == nil && a == p.Addr()
	}
	q, err := netip.ParsePrefix(address)
	return err == nil && q == p
}

// RemoveGroup returns the text of `objectgroup` without our members of the group, and
// without its header if it has no other members.
func RemoveGroup(objectgroup []byte, group string) []byte {
	return emptyGroup(objectgroup, group, len(ForeignMembers(objectgroup, group)) > 0)
}

// EmptyGroup returns the text of `objectgroup` without our members of the group. The header stays.
func EmptyGroup(objectgroup []byte, group string) []byte { return emptyGroup(objectgroup, group, true) }

func emptyGroup(objectgroup []byte, group string, keepHeader bool) []byte {
	return edit{
		line: func(section string, line []byte) []byte {
			if section != group {
				return line
			}
			if _, opens := header(line); opens {
				if keepHeader {
					return line
				}
				return nil
			}
			if _, ok := Parse(string(entry(line))); ok {
				return nil
			}
			return line
		},
		below: addNothing,
	}.apply(objectgroup)
}

// Remove returns the text of `object` without our objects, except the used ones, and
// without the empty sections that [Patch.Apply] made. Such a section keeps its mark
// while it holds one of our objects, so that a later Remove finds it.
func Remove(object []byte, used Set) []byte {
	object = edit{
		line: func(section string, line []byte) []byte {
			if p, ok := parseOurs(section, line); ok && !used.Has(p) {
				return nil
			}
			return line
		},
		below: addNothing,
	}.apply(object)
	object = RemoveSections(object)
	kept := map[string]bool{}
	for p := range Defined(object) {
		kept[Section(p)] = true
	}
	return edit{
		line: func(section string, line []byte) []byte {
			if isMark(line) && !kept[section] {
				return nil
			}
			return line
		},
		below: addNothing,
	}.apply(object)
}

// RemoveSections returns the text of `object` without the empty sections that
// [Patch.Apply] made, except those to keep.
func RemoveSections(object []byte, keep ...string) []byte {
	filled := map[string]bool{}
	made := map[string]bool{}
	section := ""
	for line := range lines(object) {
		if name, opens := header(line); opens {
			section = name
		} else if len(entry(line)) > 0 {
			filled[section] = true
		} else if isMark(line) {
			made[section] = true
		}
	}
	return edit{
		line: func(section string, line []byte) []byte {
			if !made[section] || filled[section] || slices.Contains(keep, section) {
				return line
			}
			if _, opens := header(line); opens || isMark(line) {
				return nil
			}
			return line
		},
		below: addNothing,
	}.apply(object)
}

func isMark(line []byte) bool { return string(bytes.TrimSpace(line)) == Mark }
