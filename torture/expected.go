package torture

import (
	"math/big"
	"math/rand/v2"
	"net/netip"
	"time"
)

// expected is what must be blocked.
type expected struct {
	until       map[netip.Prefix]time.Time // the latest end of each ban
	unconfirmed map[netip.Prefix]time.Time // the latest end of each ban that the plugin did not acknowledge
	unknownBans bool                       // there may be more bans
	grace       time.Duration              // how long after the end of its ban an entry may stay
	noRanges    bool                       // no range can be blocked: there are no credentials for SSH
	drawn       int
}

func newExpected() expected {
	return expected{until: map[netip.Prefix]time.Time{}, unconfirmed: map[netip.Prefix]time.Time{}, grace: 5 * time.Second}
}

// extend sets the ends of some bans that end later than before.
func extend(ends map[netip.Prefix]time.Time, prefixes []netip.Prefix, until time.Time) {
	for _, p := range prefixes {
		if until.After(ends[p]) {
			ends[p] = until
		}
	}
}

// early is how long before the end of its ban an entry may end.
const early = 100 * time.Millisecond

func (e *expected) mustBlock(p netip.Prefix, now time.Time) bool {
	return e.until[p].After(now.Add(early)) && !e.refuses(p)
}

func (e *expected) mayBlock(p netip.Prefix, now time.Time) bool {
	since := now.Add(-e.grace)
	return e.unknownBans || !e.refuses(p) && (e.until[p].After(since) || e.unconfirmed[p].After(since))
}

func (e *expected) refuses(p netip.Prefix) bool { return e.noRanges && !p.IsSingleIP() }

// draw returns n prefixes that it has not returned before: mostly IPv4 addresses,
// some IPv6 addresses and some ranges.
func (e *expected) draw(random *rand.Rand, n int) []netip.Prefix {
	var drawn []netip.Prefix
	for range n {
		i := e.drawn
		e.drawn++
		b := [4]byte{198, 18, byte(i >> 4), byte(i << 4)}
		switch random.IntN(10) {
		case 0:
			drawn = append(drawn, netip.PrefixFrom(netip.AddrFrom4(b), 28))
		case 1:
			drawn = append(drawn, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: b[2], 15: b[3]}), 128))
		case 2:
			drawn = append(drawn, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 5: 1, 6: b[2], 7: b[3]}), 64))
		default:
			drawn = append(drawn, netip.PrefixFrom(netip.AddrFrom4(b), 32))
		}
	}
	return drawn
}

// drawKind draws prefixes that are all ranges, or all addresses.
func (e *expected) drawKind(random *rand.Rand, n int, ranges bool) (drawn []netip.Prefix) {
	for len(drawn) < n {
		if p := e.draw(random, 1)[0]; p.IsSingleIP() != ranges {
			drawn = append(drawn, p)
		}
	}
	return drawn
}

// object is the name of a prefix's object.
func object(p netip.Prefix) string {
	number := new(big.Int).SetBytes(p.Addr().AsSlice()).String()
	if p.IsSingleIP() {
		return "crowdsec_ip_" + number
	}
	return "crowdsec_net_" + number + "_" + big.NewInt(int64(p.Bits())).String()
}
