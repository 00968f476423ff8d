package objects

import (
	"bytes"
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// madeHere stands below the header of a section of `object` that the file
// lacked, so that [Remove] takes out the header too, and no other.
const madeHere = "# section made by notification-stormshield"

// none adds nothing below any header.
func none(string, bool) iter.Seq[string] { return func(func(string) bool) {} }

// ours returns the prefix of the object that a line of a section of `object`
// defines, if it is one of ours.
func ours(section string, line []byte) (netip.Prefix, bool) {
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
			} else if p, ok := ours(section, line); ok && !yield(p) {
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

// Referenced returns the prefixes of our objects that groups other than the
// named ones list: the administrator uses them, so their objects must stay.
func Referenced(objectgroup []byte, except ...string) Set {
	var used []netip.Prefix
	for p := range members(objectgroup, func(section string) bool { return !slices.Contains(except, section) }) {
		used = append(used, p)
	}
	return NewSet(used)
}

// Foreign returns the members of a group that are not ours.
func Foreign(objectgroup []byte, group string) []string {
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

// Define returns the text of `object` with an object for each prefix of want.
// Our other objects stay; an object of ours with a value that is not its own
// is corrected, and a second one of the same name goes.
func Define(object []byte, want Set) []byte {
	return define(object, want, func(netip.Prefix) bool { return true })
}

// Retain is [Define] that also takes out our objects which are neither in want
// nor in used.
func Retain(object []byte, want, used Set) []byte {
	return define(object, want, used.Has)
}

func define(object []byte, want Set, keep func(netip.Prefix) bool) []byte {
	missing := missingFrom(want, Defined(object))
	seen := make([]bool, want.Len())
	return edit{
		line: func(section string, line []byte) []byte {
			p, ok := ours(section, line)
			if !ok {
				return line
			}
			i, wanted := want.index(p)
			switch {
			case !wanted && !keep(p), wanted && seen[i]:
				return nil
			case !wanted:
				return line
			}
			seen[i] = true
			if _, value := split(entry(line)); !holds(value, p) {
				return []byte(Name(p) + "=" + Value(p) + carriageReturn(line))
			}
			return line
		},
		below: func(section string, isNew bool) iter.Seq[string] {
			return func(yield func(string) bool) {
				if isNew && !yield(madeHere) {
					return
				}
				for p := range missing.all {
					if Section(p) == section && !yield(Name(p)+"="+Value(p)) {
						return
					}
				}
			}
		},
		missing: missing.sections(),
		grow:    missing.growth(len("crowdsec_ip_4294967295=255.255.255.255,resolve=static\r\n")),
	}.apply(object)
}

// holds reports whether the value of an object's line is p's, whatever the
// spelling.
func holds(value []byte, p netip.Prefix) bool {
	address, _, _ := strings.Cut(string(value), ",")
	address = strings.Trim(address, `" `)
	if p.IsSingleIP() {
		a, err := netip.ParseAddr(address)
		return err == nil && a == p.Addr()
	}
	q, err := netip.ParsePrefix(address)
	return err == nil && q == p
}

// absent is what of a set is not there yet. It is walked rather than listed:
// it may be everything.
type absent struct {
	want  Set
	there []bool
}

func missingFrom(want Set, have iter.Seq[netip.Prefix]) absent {
	a := absent{want, make([]bool, want.Len())}
	for p := range have {
		if i, ok := want.index(p); ok {
			a.there[i] = true
		}
	}
	return a
}

func (a absent) all(yield func(netip.Prefix) bool) {
	for i, p := range a.want.sorted {
		if !a.there[i] && !yield(p) {
			return
		}
	}
}

// sections returns the sections that the absent objects belong to.
func (a absent) sections() []string {
	var sections []string
	for p := range a.all {
		if section := Section(p); !slices.Contains(sections, section) {
			sections = append(sections, section)
		}
	}
	return sections
}

// growth returns how many bytes the absent lines take, at bytes a line: the
// text of a large file should be made in one piece.
func (a absent) growth(bytes int) int {
	n := 0
	for range a.all {
		n += bytes
	}
	return n
}

// SetMembers returns the text of `objectgroup` in which, of our objects, the
// group lists exactly those of want. Members that are not ours stay. A group
// that is missing is made, its header alone when want is empty.
func SetMembers(objectgroup []byte, group string, want Set) []byte {
	missing := missingFrom(want, Members(objectgroup, group))
	seen := make([]bool, want.Len())
	return edit{
		line: func(section string, line []byte) []byte {
			if section != group {
				return line
			}
			p, ok := Parse(string(entry(line)))
			if !ok {
				return line
			}
			i, wanted := want.index(p)
			if !wanted || seen[i] {
				return nil
			}
			seen[i] = true
			return line
		},
		below: func(section string, isNew bool) iter.Seq[string] {
			if section != group {
				return none(section, isNew)
			}
			return func(yield func(string) bool) {
				for p := range missing.all {
					if !yield(Name(p)) {
						return
					}
				}
			}
		},
		missing: []string{group},
		grow:    missing.growth(len("crowdsec_ip_4294967295\r\n")),
	}.apply(objectgroup)
}

// RemoveGroup returns the text of `objectgroup` without the group: its header
// and those of its members that are ours. A group that has other members
// keeps them and its header.
func RemoveGroup(objectgroup []byte, group string) []byte {
	keepHeader := len(Foreign(objectgroup, group)) > 0
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
		below: none,
	}.apply(objectgroup)
}

// Remove returns the text of `object` without any of our objects but the used
// ones, and without the sections that [Define] made if nothing else is left
// in them.
func Remove(object []byte, used Set) []byte {
	object = Retain(object, Set{}, used)
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
			_, opens := header(line)
			if isMark(line) || (opens && made[section] && !filled[section]) {
				return nil
			}
			return line
		},
		below: none,
	}.apply(object)
}

func isMark(line []byte) bool { return string(bytes.TrimSpace(line)) == madeHere }
