package snstest

import (
	"fmt"
	"iter"
	"net"
	"net/netip"
	"strings"
)

// textLine is a line of object or objectgroup that is no comment and not blank: the header of a section, or an entry in it.
type textLine struct {
	number  int
	header  bool
	section string // of a header: its name; of an entry: its section, "" before the first
	name    string // up to the first "=", the whole entry in objectgroup
	value   string // the rest, without its comment and quotes
	assigns bool   // has a "="
	broken  string // why the line is malformed; "" if it is not
}

// textLines yields the lines of object or objectgroup. It leaves out blank lines and comments.
func textLines(text string) iter.Seq[textLine] {
	return func(yield func(textLine) bool) {
		section := ""
		for number := 1; text != ""; number++ {
			var line string
			line, text, _ = strings.Cut(text, "\n")
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			parsed := parseLine(line)
			parsed.number = number
			if parsed.header {
				section = parsed.section
			}
			parsed.section = section
			if !yield(parsed) {
				return
			}
		}
	}
}

func parseLine(line string) textLine {
	if line[0] == '[' {
		name, rest, closed := strings.Cut(line[1:], "]")
		t := textLine{header: true, section: name}
		rest = strings.TrimSpace(rest)
		if !closed || rest != "" && rest[0] != '#' {
			t.broken = "the header does not end in ]"
		}
		return t
	}
	name, value, assigns := strings.Cut(line, "=")
	if !assigns {
		name, _, _ = strings.Cut(line, " #")
		return textLine{name: strings.TrimSpace(name)}
	}
	value = strings.TrimSpace(value)
	t := textLine{name: strings.TrimSpace(name), assigns: assigns}
	if strings.HasPrefix(value, `"`) {
		var closed bool
		t.value, _, closed = strings.Cut(value[1:], `"`)
		if !closed {
			t.broken = "the quotation marks do not close"
		}
		return t
	}
	t.value, _, _ = strings.Cut(value, " #")
	t.value = strings.TrimSpace(t.value)
	return t
}

// firstField returns the address, which ends at the first comma.
func firstField(value string) string {
	field, _, _ := strings.Cut(value, ",")
	return strings.TrimSpace(field)
}

// parseHost reads the value of a line in [Host].
func parseHost(value string) (netip.Prefix, error) {
	addr, err := netip.ParseAddr(firstField(value))
	if err != nil {
		return netip.Prefix{}, err
	}
	return hostPrefix(addr)
}

func hostPrefix(addr netip.Addr) (netip.Prefix, error) {
	if addr.Zone() != "" || addr.Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%s is not a plain address", addr)
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// parseNetwork reads the value of a line in [Network]: address/bits or address/mask.
func parseNetwork(value string) (netip.Prefix, error) {
	field := firstField(value)
	address, mask, _ := strings.Cut(field, "/")
	if ip := net.ParseIP(mask); ip != nil && ip.To4() != nil {
		ones, bits := net.IPMask(ip.To4()).Size()
		if bits == 0 {
			return netip.Prefix{}, fmt.Errorf("%s is not a mask", mask)
		}
		field = fmt.Sprintf("%s/%d", address, ones)
	}
	p, err := netip.ParsePrefix(field)
	if err != nil {
		return netip.Prefix{}, err
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s has bits set beyond its mask", field)
	}
	return p, nil
}

// parseRange checks the value of a line in [Range].
func parseRange(value string) error {
	first, last, _ := strings.Cut(firstField(value), "-")
	from, err := netip.ParseAddr(strings.TrimSpace(first))
	if err != nil {
		return err
	}
	to, err := netip.ParseAddr(strings.TrimSpace(last))
	if err != nil {
		return err
	}
	if to.Less(from) {
		return fmt.Errorf("%s ends before it begins", value)
	}
	return nil
}
