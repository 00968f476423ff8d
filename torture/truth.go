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
	doubtful map[netip.Prefix]time.Time // the same of bans that the plugin did not acknowledge
	anything bool                       // there may be other bans
	after    time.Duration              // how long after its end a ban may still stand
	drawn    int
}

func newTruth() truth {
	return truth{until: map[netip.Prefix]time.Time{}, doubtful: map[netip.Prefix]time.Time{}, after: 5 * time.Second}
}

func (t *truth) banned(prefixes []netip.Prefix, until time.Time) { extend(t.until, prefixes, until) }

func (t *truth) doubt(prefixes []netip.Prefix, until time.Time) {
	extend(t.doubtful, prefixes, until)
}

// forget forgets every ban: none may be there any more.
func (t *truth) forget() {
	clear(t.until)
	clear(t.doubtful)
}

func extend(ends map[netip.Prefix]time.Time, prefixes []netip.Prefix, until time.Time) {
	for _, p := range prefixes {
		if until.After(ends[p]) {
			ends[p] = until
		}
	}
}

// before is how long before its end a ban need not stand any more.
const before = 100 * time.Millisecond

// must tells whether a prefix must be blocked now, and may whether it may be.
func (t *truth) must(p netip.Prefix, now time.Time) bool { return t.until[p].After(now.Add(before)) }

func (t *truth) may(p netip.Prefix, now time.Time) bool {
	since := now.Add(-t.after)
	return t.anything || t.until[p].After(since) || t.doubtful[p].After(since)
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
