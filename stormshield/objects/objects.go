// Package objects edits the text of the two files in which a Stormshield
// appliance keeps its network objects: `object` and `objectgroup`.
//
// It turns texts into texts, and never uses a file, a connection or a clock. Its
// main type is [Patch], which changes our lines. [Compare] finds out which of our
// lines must change. Every other byte stays, in its order: also CRLF, a missing last
// line end, comments, and text that is no configuration at all.
//
// Our lines of `object` are those whose name [Name] makes. Our groups of
// `objectgroup` are those of the configuration.
//
//	[Host]                                                  [Crowdsec]
//	crowdsec_ip_3405803783=203.0.113.7,resolve=static       crowdsec_ip_3405803783
//	[Network]                                               crowdsec_net_3325256704_24
//	crowdsec_net_3325256704_24=198.51.100.0/24
//
// The older Python component uses the same names, so this package finds its objects.
// New lines go right below the header of their section, so that an edit is one pass
// over the text.
package objects

import (
	"math/big"
	"net/netip"
	"strconv"
	"strings"
)

const (
	hostPrefix    = "crowdsec_ip_"
	networkPrefix = "crowdsec_net_"

	// HostSection is the section of `object` that holds single addresses.
	HostSection = "Host"
	// NetworkSection is the section of `object` that holds ranges.
	NetworkSection = "Network"
)

// Name returns the name of the object that stands for p: `crowdsec_ip_<n>` for
// a single address, `crowdsec_net_<n>_<bits>` for a range, where n is the
// address as an unsigned decimal integer.
func Name(p netip.Prefix) string {
	n := integer(p.Addr())
	if p.IsSingleIP() {
		return hostPrefix + n
	}
	return networkPrefix + n + "_" + strconv.Itoa(p.Bits())
}

// Value returns the text after the `=` in the line of p's object.
func Value(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String() + ",resolve=static"
	}
	return p.String()
}

// Section returns the section of `object` that p's object belongs to.
func Section(p netip.Prefix) string {
	if p.IsSingleIP() {
		return HostSection
	}
	return NetworkSection
}

// Parse returns the prefix that an object's name stands for. It reports false
// for every name that [Name] would not have made, such as an administrator's
// own `crowdsec_console`.
func Parse(name string) (netip.Prefix, bool) {
	if n, ok := strings.CutPrefix(name, hostPrefix); ok {
		addr, ok := address(n)
		if !ok {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	rest, ok := strings.CutPrefix(name, networkPrefix)
	if !ok {
		return netip.Prefix{}, false
	}
	n, bits, ok := strings.Cut(rest, "_")
	if !ok {
		return netip.Prefix{}, false
	}
	addr, ok := address(n)
	if !ok {
		return netip.Prefix{}, false
	}
	length, err := strconv.Atoi(bits)
	if err != nil || strconv.Itoa(length) != bits || length >= addr.BitLen() {
		return netip.Prefix{}, false
	}
	p, err := addr.Prefix(length)
	return p, err == nil && p.Addr() == addr
}

func integer(a netip.Addr) string {
	b := a.AsSlice()
	if len(b) == 4 {
		return strconv.FormatUint(uint64(b[0])<<24|uint64(b[1])<<16|uint64(b[2])<<8|uint64(b[3]), 10)
	}
	return new(big.Int).SetBytes(b).String()
}

// address is the inverse of integer. Integers below 2^32 are IPv4 addresses, because
// nobody uses the IPv6 addresses there.
func address(n string) (netip.Addr, bool) {
	const longest = 39 // 2^128 has 39 digits
	if n == "" || len(n) > longest || (n[0] == '0' && n != "0") {
		return netip.Addr{}, false
	}
	for i := range len(n) {
		if n[i] < '0' || n[i] > '9' {
			return netip.Addr{}, false
		}
	}
	if small, err := strconv.ParseUint(n, 10, 32); err == nil {
		return netip.AddrFrom4([4]byte{byte(small >> 24), byte(small >> 16), byte(small >> 8), byte(small)}), true
	}
	big, ok := new(big.Int).SetString(n, 10)
	if !ok || big.BitLen() > 128 {
		return netip.Addr{}, false
	}
	var b [16]byte
	big.FillBytes(b[:])
	addr := netip.AddrFrom16(b)
	return addr, !addr.Is4In6()
}
