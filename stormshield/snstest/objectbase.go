package snstest

import (
	"bytes"
	"net/netip"
	"strings"
	"sync"
)

// view is the two files as a session sees them. It is parsed when a command first needs it. Sessions that see the same bytes
// share it.
type view struct {
	object, groups []byte
	parse          func() *objectBase
}

func newView(object, groups []byte) *view {
	v := &view{object: object, groups: groups}
	v.parse = sync.OnceValue(func() *objectBase { return parseObjects(string(object), string(groups)) })
	return v
}

func (v *view) sees(object, groups []byte) bool {
	return bytes.Equal(v.object, object) && bytes.Equal(v.groups, groups)
}

// viewer reads the files for each new session.
type viewer struct {
	disk *disk

	mu   sync.Mutex
	last *view
}

// read returns the files as they are now. A stale view is the one of the last session or of the last enobject.
func (r *viewer) read(stale bool) *view {
	object, groups := r.disk.read(ObjectFile), r.disk.read(GroupFile)
	r.mu.Lock()
	defer r.mu.Unlock()
	if stale && r.last != nil {
		return r.last
	}
	if r.last == nil || !r.last.sees(object, groups) {
		r.last = newView(object, groups)
	}
	return r.last
}

// forget makes the next session read the files, also if its view would be stale.
func (r *viewer) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = nil
}

// objectBase is the meaning of the two files.
type objectBase struct {
	addresses map[string]netip.Prefix // [Host] and [Network]
	others    map[string]bool         // every other object; true if a rule may name it as a target
	groups    map[string][]string     // members' names, in order
}

// parseObjects skips lines that it cannot read. Appliance.Problems reports them.
func parseObjects(object, groups string) *objectBase {
	b := &objectBase{
		addresses: make(map[string]netip.Prefix, strings.Count(object, "\n")),
		others:    map[string]bool{},
		groups:    map[string][]string{},
	}
	for l := range textLines(object) {
		if l.header || !l.assigns {
			continue
		}
		var p netip.Prefix
		var err error
		switch l.section {
		case "Host":
			p, err = parseHost(l.value)
		case "Network":
			p, err = parseNetwork(l.value)
		default:
			b.others[l.name] = l.section == "Range" || l.section == "Fqdn"
			continue
		}
		if err == nil {
			b.addresses[l.name] = p
		}
	}
	b.readGroups(groups)
	return b
}

func (b *objectBase) readGroups(text string) {
	group, members, inside := "", []string(nil), false
	for l := range textLines(text) {
		switch {
		case l.header:
			if inside {
				b.groups[group] = members
			}
			group, inside = l.section, true
			members = b.groups[group]
		case inside && !l.assigns:
			members = append(members, l.name)
		}
	}
	if inside {
		b.groups[group] = members
	}
}

// knows reports whether an object or a group has a name.
func (b *objectBase) knows(name string) bool {
	_, address := b.addresses[name]
	_, group := b.groups[name]
	_, other := b.others[name]
	return address || group || other
}

// hasEmptyGroup reports whether a group has no member.
func (b *objectBase) hasEmptyGroup() bool {
	for _, members := range b.groups {
		if len(members) == 0 {
			return true
		}
	}
	return false
}

// resolve returns the addresses and networks that a name stands for. A member of two groups may be there twice. Ranges and
// domain names in a group stand for none here.
func (b *objectBase) resolve(name string) (prefixes []netip.Prefix, known bool) {
	if p, ok := b.addresses[name]; ok {
		return []netip.Prefix{p}, true
	}
	members, ok := b.groups[name]
	if !ok {
		return nil, false
	}
	prefixes = make([]netip.Prefix, 0, len(members))
	b.collect(members, map[string]bool{name: true}, func(p netip.Prefix) { prefixes = append(prefixes, p) })
	return prefixes, true
}

// collect adds the prefixes of members, and of the groups among them. It enters each group once.
func (b *objectBase) collect(members []string, entered map[string]bool, add func(netip.Prefix)) {
	for _, name := range members {
		if p, ok := b.addresses[name]; ok {
			add(p)
			continue
		}
		if nested, ok := b.groups[name]; ok && !entered[name] {
			entered[name] = true
			b.collect(nested, entered, add)
		}
	}
}
