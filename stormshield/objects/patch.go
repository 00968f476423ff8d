package objects

import (
	"bufio"
	"io"
	"iter"
	"net/netip"
)

// Patch says which lines each prefix must have in the two files. The lines that it has
// now make no difference. A prefix is in one set at most. A patch also adds both groups
// if they are missing.
//
// [Patch.Apply] applies a patch here, and the program of package edit applies it on
// the appliance. Both make the same bytes.
type Patch struct {
	Group       string // of the bans in force
	DeleteGroup string // of the bans that are being unblocked

	InForce  Set // gets an object, and is a member of Group
	Ended    Set // gets an object, and is a member of DeleteGroup
	Unlisted Set // gets an object, and is a member of neither
	Removed  Set // gets nothing, but keeps its object while another group lists it
}

// Empty reports whether the patch is about no prefix at all.
func (p Patch) Empty() bool { return p.eachSet(nil) == 0 }

// The letters of the sets in [Patch.Encode].
const (
	inForce  = 'S'
	ended    = 'E'
	unlisted = 'N'
	removed  = 'A'
)

// eachSet returns the number of sets that are not empty. It calls do, if there is one,
// for each of them.
func (p Patch) eachSet(do func(letter byte, set Set)) int {
	n := 0
	for _, list := range []struct {
		letter byte
		set    Set
	}{{inForce, p.InForce}, {ended, p.Ended}, {unlisted, p.Unlisted}, {removed, p.Removed}} {
		if list.set.Len() > 0 {
			n++
			if do != nil {
				do(list.letter, list.set)
			}
		}
	}
	return n
}

// Encode writes the patch for the program on the appliance. A line `=<letter>` begins
// each set, and a line follows for each prefix. The program computes the name from
// the address; only numbers that awk cannot compute are sent:
//
//	=S
//	203.0.113.7
//	3325256704 198.51.100.0/24
//	=A
//	42540766411282592856903984951653826561 2001:db8::1
func (p Patch) Encode(to io.Writer) error {
	w := bufio.NewWriter(to)
	p.eachSet(func(letter byte, set Set) {
		_, _ = w.Write([]byte{'=', letter, '\n'}) // Flush returns every failure
		for prefix := range set.All() {
			switch {
			case !prefix.IsSingleIP():
				_, _ = w.WriteString(integer(prefix.Addr()) + " " + prefix.String())
			case prefix.Addr().Is4():
				_, _ = w.WriteString(prefix.Addr().String())
			default:
				_, _ = w.WriteString(integer(prefix.Addr()) + " " + prefix.Addr().String())
			}
			_ = w.WriteByte('\n')
		}
	})
	return w.Flush()
}

// Patched are the texts that a patch makes. They must replace the files in this
// order, so that every member of a group has an object.
type Patched struct {
	Defined     []byte // object, with the added objects
	Objectgroup []byte
	Object      []byte // object, also without the removed objects
}

// Apply applies the patch.
func (p Patch) Apply(object, objectgroup []byte) Patched {
	defined := p.addObjects(object)
	return Patched{Defined: defined, Objectgroup: p.changeMembers(objectgroup), Object: p.removeObjects(defined, objectgroup)}
}

// addObjects adds an object for each prefix that gets one, and removes its old lines.
func (p Patch) addObjects(object []byte) []byte {
	gets := []Set{p.InForce, p.Ended, p.Unlisted}
	var hosts, networks int
	for _, set := range gets {
		for prefix := range set.All() {
			if prefix.IsSingleIP() {
				hosts++
			} else {
				networks++
			}
		}
	}
	if hosts+networks == 0 {
		return object
	}
	e := edit{
		line: func(section string, line []byte) []byte {
			if prefix, ok := parseOurs(section, line); ok && isInAny(prefix, gets...) {
				return nil
			}
			return line
		},
		below: func(section string, isNew bool) iter.Seq[string] {
			return func(yield func(string) bool) {
				if isNew && !yield(Mark) {
					return
				}
				for prefix := range allOf(gets...) {
					if Section(prefix) == section && !yield(Name(prefix)+"="+Value(prefix)) {
						return
					}
				}
			}
		},
		grow: (hosts + networks) * len("crowdsec_ip_4294967295=255.255.255.255,resolve=static\r\n"),
	}
	if hosts > 0 {
		e.missing = append(e.missing, HostSection)
	}
	if networks > 0 {
		e.missing = append(e.missing, NetworkSection)
	}
	return e.apply(object)
}

// changeMembers changes the members of both groups.
func (p Patch) changeMembers(objectgroup []byte) []byte {
	members := map[string]Set{p.Group: p.InForce, p.DeleteGroup: p.Ended}
	return edit{
		line: func(section string, line []byte) []byte {
			if _, isOurs := members[section]; isOurs {
				prefix, ok := Parse(string(entry(line)))
				if ok && isInAny(prefix, p.InForce, p.Ended, p.Unlisted, p.Removed) {
					return nil
				}
			}
			return line
		},
		below: func(section string, _ bool) iter.Seq[string] {
			return func(yield func(string) bool) {
				for prefix := range members[section].All() {
					if !yield(Name(prefix)) {
						return
					}
				}
			}
		},
		missing: []string{p.Group, p.DeleteGroup},
		grow:    (p.InForce.Len() + p.Ended.Len()) * len("crowdsec_ip_4294967295\r\n"),
	}.apply(objectgroup)
}

// removeObjects removes the objects of the removed prefixes that no other group lists.
func (p Patch) removeObjects(object, objectgroup []byte) []byte {
	if p.Removed.Len() == 0 {
		return object
	}
	used := Referenced(objectgroup, p.Group, p.DeleteGroup)
	return edit{
		line: func(section string, line []byte) []byte {
			if prefix, ok := parseOurs(section, line); ok && p.Removed.Has(prefix) && !used.Has(prefix) {
				return nil
			}
			return line
		},
		below: addNothing,
	}.apply(object)
}

func isInAny(p netip.Prefix, sets ...Set) bool {
	for _, s := range sets {
		if s.Has(p) {
			return true
		}
	}
	return false
}

func allOf(sets ...Set) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for _, s := range sets {
			for p := range s.All() {
				if !yield(p) {
					return
				}
			}
		}
	}
}
