// Package ban knows what a ban is, and how alerts of CrowdSec become bans.
//
// [Read] turns the text that CrowdSec hands to a notification plugin into a
// list of [Decision]: which addresses to block, and until when. A [Filter]
// says which decisions count, what may never be blocked, and how wide a range
// may be. The reader also returns, with the reason, what it left out: refused
// when a block was asked for and could not be given, ignored when the decision
// asks for no block.
//
// The package trusts nothing in the text. A decision it cannot read costs that
// decision alone, and no part of the text reaches a log uncut or unescaped.
//
// It never remembers anything, never looks at the clock (the caller says what
// time it is), and knows neither CrowdSec's process nor the appliance.
package ban
