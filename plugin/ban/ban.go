// Package ban knows what a ban is, and how alerts of CrowdSec become bans.
//
// [Read] turns the text that CrowdSec hands to a notification plugin into a
// list of [Ban]: which addresses must stay blocked, and until when. A [Filter]
// says which decisions count, what may never be blocked, and how wide a range
// may be. Whatever does not become a ban is told with its reason: refused when
// a block was asked for and could not be given, ignored when it is none of our
// business.
//
// The package trusts nothing in the text. A decision it cannot read costs that
// decision alone, and no part of the text reaches a log uncut or unescaped.
//
// It never remembers anything, never looks at the clock (the caller says what
// time it is), and knows neither CrowdSec's process nor the appliance.
package ban

import (
	"net/netip"
	"time"
)

// Ban is one address or range that must stay blocked until a moment.
//
// One decision gives several bans when the range it names holds addresses that
// may never be blocked. Which decision gave a ban is not kept: one that is sent
// again comes under a new uuid.
type Ban struct {
	// Prefix is masked, and an IPv4-mapped IPv6 prefix is written as IPv4. A
	// single address has 32 or 128 bits.
	Prefix netip.Prefix
	// Until is when the ban ends, in UTC: the alert's stop_at plus the
	// decision's duration. It is never later than the year 2261, so that it
	// also fits in 64 bits of nanoseconds.
	Until time.Time
	// Origin is who decided: crowdsec, cscli, cscli-import, CAPI, lists:….
	Origin string
	// Scenario is why: the scenario's name, or the reason given to cscli. Like
	// Origin it is cut to a sane length and holds printable characters only.
	Scenario string
}
