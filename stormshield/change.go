package stormshield

import (
	"net/netip"
	"time"
)

// Change is what one flush must bring about.
type Change struct {
	// Block are the bans to put on the blacklist, each for a time of its own:
	// new ones, and those whose entry would end before they do. If they are
	// more than Config.SingleMax, it need not hold all of them.
	Block []Block
	// Unblock are the ended bans that may still be on the blacklist.
	Unblock []netip.Prefix
	// Standing are all bans in force, those of Block among them: what the
	// files must list, no more and no less. Apply takes the slice over.
	Standing []netip.Prefix
	// Reassert puts everything standing on the blacklist anew.
	Reassert bool
}

// Block is one entry for the blacklist.
type Block struct {
	Prefix  netip.Prefix
	Timeout time.Duration
}

// Done is what the appliance acknowledged. It holds also when the flush as a
// whole failed: what is not in it is still owed.
type Done struct {
	Blocked   []Blocked
	Unblocked []netip.Prefix
	// Asserted is when everything standing was put on the blacklist for
	// Config.BlacklistTimeout; zero if it was not.
	Asserted time.Time
	// Filed says that the files list what stands, and nothing else of ours.
	Filed bool
	// Leftovers counts our objects that were found in the files though nothing
	// asked for them, and that were taken off.
	Leftovers int
}

// Blocked is one entry that the appliance put on its blacklist.
type Blocked struct {
	Prefix  netip.Prefix
	Expires time.Time // when the entry ends by itself
}
