package main

import (
	"math/big"
	"math/rand/v2"
	"net/netip"
	"time"
)

// truth is what must be blocked, by CrowdSec's reckoning.
type truth struct {
	until    map[netip.Prefix]time.Time // the latest end of each
	doubtful map[netip.Prefix]bool      // the plugin never said that it has them
	anything bool                       // there may be other bans
	drawn    int
}

func newTruth() truth {
	return truth{until: map[netip.Prefix]time.Time{}, doubtful: map[netip.Prefix]bool{}}
}

func (t *truth) banned(prefixes []netip.Prefix, until time.Time) {
	for _, p := range prefixes {
		delete(t.doubtful, p)
		if until.After(t.until[p]) {
			t.until[p] = until
		}
	}
}

func (t *truth) doubt(prefixes []netip.Prefix) {
	for _, p := range prefixes {
		if t.until[p].IsZero() {
			t.doubtful[p] = true
		}
	}
}

// How far before and after its end it is left open whether a ban stands.
const (
	before = 100 * time.Millisecond
	after  = 5 * time.Second
)

// must tells whether a prefix must be blocked now, and may whether it may be.
func (t *truth) must(p netip.Prefix, now time.Time) bool { return t.until[p].After(now.Add(before)) }

func (t *truth) may(p netip.Prefix, now time.Time) bool {
	return t.anything || t.doubtful[p] || t.until[p].After(now.Add(-after))
}

// fresh draws so many prefixes that were not drawn before: addresses mostly,
// some of IPv6, some ranges.
func (t *truth) fresh(random *rand.Rand, n int) []netip.Prefix {
	var drawn []netip.Prefix
	for range n {
		i := t.drawn
		t.drawn++
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

// object is the name of a prefix's object (sns.md).
func object(p netip.Prefix) string {
	number := new(big.Int).SetBytes(p.Addr().AsSlice()).String()
	if p.IsSingleIP() {
		return "crowdsec_ip_" + number
	}
	return "crowdsec_net_" + number + "_" + big.NewInt(int64(p.Bits())).String()
}
