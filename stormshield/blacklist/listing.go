package blacklist

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"notification-stormshield/stormshield/objects"
)

// Listing holds the entries that SHOW prints. Sources show two forms of a line (vendor's blacklist tool, vendor's CLI
// reference):
//
//	src=4.3.2.1 dstrange=0.0.0.0-255.255.255.255 timeout=25
//	range1=10.2.16.3:10.2.16.3 range2=0.0.0.0:255.255.255.255 timeout=599
//
// An appliance may print another form. An address may still be listed in a line that cannot be read.
type Listing struct {
	exact     map[netip.Prefix]Line // lines of these forms whose source is one prefix
	wide      []wideLine            // lines with another range
	mentioned map[netip.Addr]Line   // addresses in lines of other forms

	Unreadable string // a line without any address that can be read; "": none
}

// Line is one line of SHOW.
type Line struct {
	Text  string
	Known bool          // it has one of the two forms
	Left  time.Duration // timeout=; 0 if the line does not say it
}

type wideLine struct {
	span
	Line
}

func readListing(lines []string) Listing {
	l := Listing{exact: map[netip.Prefix]Line{}, mentioned: map[netip.Addr]Line{}}
	for _, text := range lines {
		line := Line{Text: text, Left: leftOf(text)}
		switch source, known := sourceOf(text); {
		case !known:
			l.mention(line)
		case !source.first.IsValid():
			l.Unreadable = text
		default:
			line.Known = true
			l.add(source, line)
		}
	}
	return l
}

func (l *Listing) add(source span, line Line) {
	if p, ok := source.prefix(); ok {
		l.exact[p] = line
	} else {
		l.wide = append(l.wide, wideLine{source, line})
	}
}

// mention records a line of another form by the addresses in it. It leaves out a range of all addresses, which is often the
// destination.
func (l *Listing) mention(line Line) {
	found := false
	for _, word := range strings.FieldsFunc(line.Text, func(r rune) bool { return strings.ContainsRune(" \t=,;\"'()<>", r) }) {
		s, ok := parseSpan(word)
		if !ok || s.common() == 0 {
			continue
		}
		found = true
		if _, ok := s.prefix(); ok {
			l.mentioned[s.first] = line
		} else {
			l.wide = append(l.wide, wideLine{s, line})
		}
	}
	if title := strings.HasPrefix(line.Text, "[") && strings.HasSuffix(line.Text, "]"); !found && !title {
		l.Unreadable = line.Text
	}
}

// Find returns the line that may be the entry of a prefix. A line with exactly one prefix is the entry of that prefix alone.
// A range that is no prefix may stand for several entries, so it may be the entry of each prefix that it overlaps.
func (l Listing) Find(p netip.Prefix) (Line, bool) {
	if line, ok := l.exact[p]; ok {
		return line, true
	}
	for _, w := range l.wide {
		if w.overlaps(spanOf(p)) {
			return w.Line, true
		}
	}
	line, ok := l.mentioned[p.Addr()]
	return line, ok
}

// MayHold reports whether a prefix may be on the blacklist.
func (l Listing) MayHold(p netip.Prefix) bool {
	_, found := l.Find(p)
	return found || l.Unreadable != ""
}

// HasEntry reports whether a line is surely the entry of a prefix.
func (l Listing) HasEntry(p netip.Prefix) bool {
	_, found := l.exact[p]
	return found
}

// sourceOf returns the source of a line of one of the two forms. The source is not valid if it cannot be read.
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
		return parseEnds(first, last)
	}
	// An IPv6 address itself has colons. If the text can be split in several ways,
	// the smallest range counts.
	var smallest span
	for at, r := range text {
		if r != ':' {
			continue
		}
		if s, ok := parseEnds(text[:at], text[at+1:]); ok && (!smallest.first.IsValid() || s.common() > smallest.common()) {
			smallest = s
		}
	}
	return smallest, smallest.first.IsValid()
}

func parseEnds(first, last string) (span, bool) {
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

func (s span) overlaps(other span) bool {
	return s.first.BitLen() == other.first.BitLen() && !s.last.Less(other.first) && !other.last.Less(s.first)
}
