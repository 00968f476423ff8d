package enforcer

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/appliance"
)

// A ban that the appliance refused is tried again with the next flush, and at the latest after these times.
const (
	firstRefusedRetry = time.Minute
	lastRefusedRetry  = 10 * time.Minute
)

// refusedBans remembers which bans the appliance refuses, so that they delay no other ban and cause few logins.
type refusedBans struct {
	count   map[netip.Prefix]int // how often the appliance refused each ban that the last flush had to block
	flushes int                  // how many flushes in a row left refused bans
}

// record records which of the pending bans the appliance refused.
func (r *refusedBans) record(pending []appliance.Ban, refused []netip.Prefix) {
	before := r.count
	r.count = map[netip.Prefix]int{}
	for _, b := range pending {
		r.count[b.Prefix] = before[b.Prefix]
	}
	for _, p := range refused {
		r.count[p] = before[p] + 1
	}
}

// sortLast moves the bans that the appliance refused most often to the end.
func (r *refusedBans) sortLast(pending []appliance.Ban) {
	slices.SortStableFunc(pending, func(a, b appliance.Ban) int { return cmp.Compare(r.count[a.Prefix], r.count[b.Prefix]) })
}

// nextWait returns how long after a flush the refused bans are tried again at the latest; 0: the flush left none.
func (r *refusedBans) nextWait(left bool) time.Duration {
	if !left {
		r.flushes = 0
		return 0
	}
	r.flushes++
	return min(firstRefusedRetry<<min(r.flushes-1, 16), lastRefusedRetry)
}
