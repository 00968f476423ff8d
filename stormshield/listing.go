package stormshield

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"notification-stormshield/stormshield/objects"
)

// listing is what SHOW prints. Sources show two forms of a line (vendor's
// blacklist tool, vendor's CLI reference):
//
//	src=4.3.2.1 dstrange=0.0.0.0-255.255.255.255 timeout=25
//	range1=10.2.16.3:10.2.16.3 range2=0.0.0.0:255.255.255.255 timeout=599
//
// An appliance may print another form. An address may still be listed in a line that
// cannot be read.
type listing struct {
	exact     map[netip.Prefix]entry // lines of these forms whose source is one prefix
	wide      []wideEntry            // lines with another range
	mentioned map[netip.Addr]entry   // addresses in lines of other forms
	unread    string                 // a line in which nothing can be read; "" if there is none
}

// entry is one line.
type entry struct {
	line string
	read bool          // it has one of the two forms
	left time.Duration // timeout=; 0 if the line does not say it
}

type wideEntry struct {
	span
	entry
}

func readListing(lines []string) listing {
	l := listing{exact: map[netip.Prefix]entry{}, mentioned: map[netip.Addr]entry{}}
	for _, line := range lines {
		e := entry{line: line, left: leftOf(line)}
		switch source, known := sourceOf(line); {
		case !known:
			l.mention(e)
		case !source.first.IsValid():
			l.unread = line
		default:
			e.read = true
			l.add(source, e)
		}
	}
	return l
}

func (l *listing) add(source span, e entry) {
	if p, ok := source.prefix(); ok {
		l.exact[p] = e
	} else {
		l.wide = append(l.wide, wideEntry{source, e})
	}
}

// mention records a line of another form by the addresses in it. It leaves out a
// range of all addresses, which is often the destination.
func (l *listing) mention(e entry) {
	found := false
	for _, word := range strings.FieldsFunc(e.line, func(r rune) bool { return strings.ContainsRune(" \t=,;\"'()<>", r) }) {
		s, ok := parseSpan(word)
		if !ok || s.common() == 0 {
			continue
		}
		found = true
		if _, ok := s.prefix(); ok {
			l.mentioned[s.first] = e
		} else {
			l.wide = append(l.wide, wideEntry{s, e})
		}
	}
	if title := strings.HasPrefix(e.line, "[") && strings.HasSuffix(e.line, "]"); !found && !title {
		l.unread = e.line
	}
}

// find returns the line that may be about a prefix. A line with exactly one prefix is
// only about that prefix. A range that is no prefix may be several entries in one
// line: it may be about each prefix that it overlaps.
func (l listing) find(p netip.Prefix) (entry, bool) {
	if e, ok := l.exact[p]; ok {
		return e, true
	}
	for _, w := range l.wide {
		if w.touches(spanOf(p)) {
			return w.entry, true
		}
	}
	e, ok := l.mentioned[p.Addr()]
	return e, ok
}

// mayHold reports whether a prefix may be on the blacklist.
func (l listing) mayHold(p netip.Prefix) bool {
	_, found := l.find(p)
	return found || l.unread != ""
}

// sourceOf returns the source of a line of one of the two forms. The source is not
// valid if it cannot be read.
func sourceOf(line string) (source span, known bool) {
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		switch strings.ToLower(name) {
		case "src", "srcrange", "range1":
			source, _ = parseSpan(value)
			return source, true
		}
	}
	return span{}, false
}

func leftOf(line string) time.Duration {
	for word := range strings.FieldsSeq(strings.ToLower(line)) {
		if value, ok := strings.CutPrefix(word, "timeout="); ok {
			seconds, err := strconv.ParseUint(value, 10, 31)
			if err == nil {
				return time.Duration(seconds) * time.Second
			}
		}
	}
	return 0
}

// span is a range of addresses, both ends included.
type span struct{ first, last netip.Addr }

// parseSpan reads an address, ADDRESS/BITS, FIRST-LAST, FIRST:LAST, or the name
// of an object of ours.
func parseSpan(text string) (span, bool) {
	if p, ok := objects.Parse(text); ok {
		return spanOf(p), true
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return span{a.Unmap(), a.Unmap()}, true
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return spanOf(p.Masked()), true
	}
	if first, last, ok := strings.Cut(text, "-"); ok {
		return between(first, last)
	}
	// An IPv6 address itself has colons. If the text can be split in several ways,
	// the smallest range counts.
	var smallest span
	for at, r := range text {
		if r != ':' {
			continue
		}
		if s, ok := between(text[:at], text[at+1:]); ok && (!smallest.first.IsValid() || s.common() > smallest.common()) {
			smallest = s
		}
	}
	return smallest, smallest.first.IsValid()
}

func between(first, last string) (span, bool) {
	a, err := netip.ParseAddr(first)
	if err != nil {
		return span{}, false
	}
	b, err := netip.ParseAddr(last)
	if err != nil {
		return span{}, false
	}
	s := span{a.Unmap(), b.Unmap()}
	if s.first.BitLen() != s.last.BitLen() || s.last.Less(s.first) {
		return span{}, false
	}
	return s, true
}

func spanOf(p netip.Prefix) span {
	last := p.Addr().AsSlice()
	for bit := p.Bits(); bit < p.Addr().BitLen(); bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	end, _ := netip.AddrFromSlice(last) // last has the length of an address
	return span{p.Addr(), end}
}

// common returns the number of leading bits that both ends share.
func (s span) common() int {
	for bits := s.first.BitLen(); bits > 0; bits-- {
		if p, err := s.first.Prefix(bits); err == nil && p.Contains(s.last) {
			return bits
		}
	}
	return 0
}

// prefix returns the range as a prefix, if it is one.
func (s span) prefix() (netip.Prefix, bool) {
	if !s.first.IsValid() {
		return netip.Prefix{}, false
	}
	p := netip.PrefixFrom(s.first, s.common())
	return p, p.Masked().Addr() == s.first && spanOf(p) == s
}

func (s span) touches(other span) bool {
	return s.first.BitLen() == other.first.BitLen() && !s.last.Less(other.first) && !other.last.Less(s.first)
}
