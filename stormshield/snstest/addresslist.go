package snstest

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mayMonitor reports whether the session may change the address lists (level filter) or drop connections (level log). It also
// needs the privilege mon_write, and the monitor right or the configuration right, which is stronger.
func (c *call) mayMonitor(level string) bool {
	sessions, id := c.appliance.sessions, c.session.id
	return c.session.hasLevel("mon_write") && c.session.hasLevel(level) &&
		(sessions.holdsRight(id, monitorRight) && !c.faults.MonitorIsNotEnough || sessions.holdsRight(id, configRight))
}

// isBlacklist checks the argument Type. Only the blacklist is simulated.
func (c *call) isBlacklist() bool { return strings.EqualFold(c.arguments["type"], "BlackList") }

// named resolves Name1 by the files that the session sees.
func (c *call) named() (prefixes []netip.Prefix, ok bool) {
	name := c.arguments["name1"]
	if name == "" {
		return nil, false
	}
	if p, isAddress := c.literal(name); isAddress {
		return []netip.Prefix{p}, p.IsValid()
	}
	prefixes, known := c.session.view.parse().resolve(name)
	if !known {
		return nil, false
	}
	prefixes = slices.DeleteFunc(prefixes, c.refuses) // resolve made the slice for this call
	return prefixes, len(prefixes) > 0
}

// refuses reports whether a fault keeps the appliance from blocking a prefix.
func (c *call) refuses(p netip.Prefix) bool {
	return c.faults.NoIPv6 && p.Addr().Is6() || c.faults.NetworksRefused && !p.IsSingleIP()
}

// literal reads an address in place of a name. The prefix is not valid if the appliance refuses the address. No source shows
// that an appliance accepts a network here.
func (c *call) literal(name string) (p netip.Prefix, isAddress bool) {
	addr, err := netip.ParseAddr(name)
	if err != nil {
		_, err = netip.ParsePrefix(name)
		return netip.Prefix{}, err == nil
	}
	if p, err = hostPrefix(addr); err != nil || c.refuses(p) {
		return netip.Prefix{}, true
	}
	return p, true
}

// addressAdd is MONITOR ADDRESSLIST ADD Type= Name1= [Name2=] Timeout=. A group is resolved once, now. Name2, the
// destination, must be known, but every destination is blocked here.
func (c *call) addressAdd() answer {
	if !c.mayMonitor("filter") {
		return plain(statusLevel)
	}
	seconds, err := strconv.ParseUint(c.arguments["timeout"], 10, 31)
	if err != nil || seconds == 0 || !c.isBlacklist() {
		return plain(statusArgument)
	}
	if to, given := c.arguments["name2"]; given {
		if _, isAddress := c.literal(to); !isAddress && !c.session.view.parse().knows(to) {
			return plain(statusArgument)
		}
	}
	prefixes, ok := c.named()
	if !ok {
		return plain(statusArgument)
	}
	if c.faults.RenewalIgnored {
		prefixes = slices.DeleteFunc(prefixes, func(p netip.Prefix) bool {
			_, listed := c.appliance.BlockedPrefix(p)
			return listed
		})
	}
	if len(prefixes) > 0 {
		c.appliance.blacklist.add(prefixes, time.Now().Add(time.Duration(seconds)*time.Second))
	}
	return plain(statusOK)
}

// addressDelete is MONITOR ADDRESSLIST DELETE Type= Name1=.
func (c *call) addressDelete() answer {
	if !c.mayMonitor("filter") {
		return plain(statusLevel)
	}
	prefixes, ok := c.named()
	if !ok || !c.isBlacklist() {
		return plain(statusArgument)
	}
	if c.appliance.blacklist.remove(prefixes) == 0 && c.faults.DeleteUnknownFails {
		return plain(statusFailed)
	}
	return plain(statusOK)
}

// addressShow is MONITOR ADDRESSLIST SHOW Type=, which answers with a line for each entry.
func (c *call) addressShow() answer {
	if !c.isBlacklist() {
		return plain(statusArgument)
	}
	if c.faults.ShowOtherwise {
		return c.showOtherwise()
	}
	var raw strings.Builder
	var lines [][]keyValue
	if c.faults.ShowExtra != "" {
		raw.WriteString(c.faults.ShowExtra + "\n")
	}
	for _, e := range c.appliance.blacklist.list() {
		line := c.shown(e)
		lines = append(lines, line)
		fmt.Fprintf(&raw, "%s=%s %s=%s %s=%s\n", line[0].name, line[0].value, line[1].name, line[1].value, line[2].name, line[2].value)
	}
	if c.faults.ShowSectionLine {
		return linesAnswer("Result", lines)
	}
	return rawAnswer(raw.String())
}

// shown is one entry: its source, its destination, which is every address, and the seconds until it ends.
func (c *call) shown(e Entry) []keyValue {
	first, last := "0.0.0.0", "255.255.255.255"
	if e.Source.Addr().Is6() {
		first, last = "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
	}
	left := keyValue{"timeout", fmt.Sprintf("%.0f", max(0, math.Ceil(time.Until(e.Expires).Seconds())))}
	if c.faults.ShowRanges {
		return []keyValue{{"range1", e.Source.Addr().String() + ":" + lastAddress(e.Source).String()}, {"range2", first + ":" + last}, left}
	}
	return []keyValue{{"src", printedPrefix(e.Source)}, {"dstrange", first + "-" + last}, left}
}

// printedPrefix is a network, or an address alone.
func printedPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// lastAddress is the last address of a network.
func lastAddress(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for bit := p.Bits(); bit < p.Addr().BitLen(); bit++ {
		bytes[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

// showOtherwise is addressShow in the format section_line, under names that no source shows.
func (c *call) showOtherwise() answer {
	var lines [][]keyValue
	for _, e := range c.appliance.blacklist.list() {
		lines = append(lines, []keyValue{
			{"host", e.Source.String()}, {"expires", e.Expires.UTC().Format(time.RFC3339)},
		})
	}
	return linesAnswer("Result", lines)
}
