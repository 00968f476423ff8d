package objects

import (
	"bufio"
	"io"
	"iter"
	"net/netip"
)

// Patch says what becomes of prefixes in the two files. A prefix belongs in one
// set at most; what the files said of it before does not matter. Both groups
// are made if they are missing.
//
// [Patch.Apply] carries a patch out here, the program of package edit does on
// the appliance: both make the same bytes.
type Patch struct {
	Group       string // lists what is in force
	DeleteGroup string // lists what is being taken off the blacklist

	InForce  Set // gets an object, and is a member of Group
	Ended    Set // gets an object, and is a member of DeleteGroup
	Unlisted Set // gets an object, and is a member of neither
	Removed  Set // is nowhere, but keeps its object while another group lists it
}

// Empty reports whether the patch is about no prefix at all.
func (p Patch) Empty() bool { return p.lists(nil) == 0 }

// The sets of a patch, by the letters under which they travel.
const (
	inForce  = 'S'
	ended    = 'E'
	unlisted = 'N'
	removed  = 'A'
)

// lists calls do, if there is one, for each set that is not empty, and returns
// how many those are.
func (p Patch) lists(do func(letter byte, set Set)) int {
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

// Encode writes the patch as the program on the appliance reads it: a line
// `=<letter>` begins each set, and a line follows for each prefix. Names and
// values are made from addresses there; only what awk cannot compute goes too:
//
//	=S
//	203.0.113.7
//	3325256704 198.51.100.0/24
//	=A
//	42540766411282592856903984951653826561 2001:db8::1
func (p Patch) Encode(to io.Writer) error {
	w := bufio.NewWriter(to)
	p.lists(func(letter byte, set Set) {
		_, _ = w.Write([]byte{'=', letter, '\n'}) // Flush tells of every failure
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

// Patched are the texts that a patch makes, in the order in which they must
// replace the old ones: at no moment does a group list what has no object.
type Patched struct {
	Defined     []byte // object, with everything that gets an object
	Objectgroup []byte
	Object      []byte // object, without what is absent too
}

// Apply carries the patch out.
func (p Patch) Apply(object, objectgroup []byte) Patched {
	defined := p.define(object)
	return Patched{Defined: defined, Objectgroup: p.group(objectgroup), Object: p.clear(defined, objectgroup)}
}

// define puts an object for each prefix that gets one below its section's
// header, in the place of those that the text has.
func (p Patch) define(object []byte) []byte {
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
			if prefix, ok := ours(section, line); ok && within(prefix, gets...) {
				return nil
			}
			return line
		},
		below: func(section string, isNew bool) iter.Seq[string] {
			return func(yield func(string) bool) {
				if isNew && !yield(Mark) {
					return
				}
				for prefix := range each(gets...) {
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

// group makes both groups list what they must.
func (p Patch) group(objectgroup []byte) []byte {
	members := map[string]Set{p.Group: p.InForce, p.DeleteGroup: p.Ended}
	return edit{
		line: func(section string, line []byte) []byte {
			if _, is := members[section]; is {
				prefix, ok := Parse(string(entry(line)))
				if ok && within(prefix, p.InForce, p.Ended, p.Unlisted, p.Removed) {
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

// clear takes out the objects of what is absent and of no use to others.
func (p Patch) clear(object, objectgroup []byte) []byte {
	if p.Removed.Len() == 0 {
		return object
	}
	used := Referenced(objectgroup, p.Group, p.DeleteGroup)
	return edit{
		line: func(section string, line []byte) []byte {
			if prefix, ok := ours(section, line); ok && p.Removed.Has(prefix) && !used.Has(prefix) {
				return nil
			}
			return line
		},
		below: none,
	}.apply(object)
}

func within(p netip.Prefix, sets ...Set) bool {
	for _, s := range sets {
		if s.Has(p) {
			return true
		}
	}
	return false
}

func each(sets ...Set) iter.Seq[netip.Prefix] {
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
