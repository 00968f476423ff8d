package stormshield

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"notification-stormshield/stormshield/edit"
)

// Change is what one flush must bring about.
type Change struct {
	// Block are the bans to put on the blacklist, each for a time of its own:
	// new ones, and those whose entry would end before they do. If they are
	// more than Config.SingleMax, it need not hold all of them.
	Block []Block
	// Unblock are the ended bans that may still be on the blacklist.
	Unblock []netip.Prefix
	// Add are bans in force that the files may lack, and Remove ended ones that
	// the files may name; what Unblock holds need not stand there too.
	Add, Remove []netip.Prefix
	// Total is how many bans are in force.
	Total int
	// Files is what Done.Files said when the files were last written. While
	// they are like that, they are not read: what Add and Remove name is all
	// that is edited. A zero Files is not known.
	Files Files
	// Standing returns all bans in force: what the files must list, no more and
	// no less. It is called when the files must be read and compared, each
	// time; listed is what their group lists by then.
	Standing func(ctx context.Context, listed []netip.Prefix) ([]netip.Prefix, error)
	// Reassert puts everything standing on the blacklist anew.
	Reassert bool
	// AskSerial asks the appliance for its serial number before anything is
	// blocked or unblocked. Serial is the one that is expected; "" is any. If
	// another one answers, Apply ends with an [OtherApplianceError].
	AskSerial bool
	Serial    string
	// OldGroups are groups of earlier configurations. Once everything is blocked,
	// the entries that only they list are unblocked, and the groups are removed.
	// Members that are not ours stay, and so does their group.
	OldGroups []string
	// Each returns what must be blocked one by one where the group must not be
	// named: what Block leaves out too, and with Reassert every ban in force
	// that no earlier flush of the same re-assert blocked.
	Each func(ctx context.Context) ([]netip.Prefix, error)
}

// Files tells the appliance's two files from any others.
type Files = edit.State

// Block is one entry for the blacklist.
type Block struct {
	Prefix  netip.Prefix
	Timeout time.Duration
}

// Done is what the appliance acknowledged. It holds also when the flush as a
// whole failed: what is not in it is still pending.
type Done struct {
	Blocked   []Blocked
	Unblocked []netip.Prefix
	// Asserted is when everything standing was put on the blacklist for
	// Config.BlacklistTimeout; zero if it was not.
	Asserted time.Time
	// Listed says that the files list what stands, and Cleared that they name
	// nothing else of ours.
	Listed, Cleared bool
	// Files is what the files are now. It is zero if that is not known, and
	// while a group has foreign members, so that the next flush reads the files
	// whole and sees when those members are gone.
	Files Files
	// Unfinished says that Config.EachFor was over before everything was
	// blocked or unblocked one by one: the next flush goes on.
	Unfinished bool
	// Leftovers counts our objects that were found in the files though nothing
	// asked for them, and that were taken off.
	Leftovers int
	// Serial is the appliance's serial number; "" if it was not asked for it, or
	// did not tell.
	Serial string
	// OldGroupsGone says that the files name nothing of ours in Change.OldGroups,
	// and Kept why a group among them stays.
	OldGroupsGone bool
	Kept          []string
}

// RefusedError says that the appliance refused to block some bans, and did all
// else.
type RefusedError struct {
	Refused []netip.Prefix
	First   error // why the first was
}

func (e *RefusedError) Error() string {
	if len(e.Refused) == 1 {
		return fmt.Sprintf("the appliance does not take one of the bans, and enforces all others: %v", e.First)
	}
	return fmt.Sprintf("the appliance does not take %d of the bans, and enforces all others; the first: %v", len(e.Refused), e.First)
}

func (e *RefusedError) Unwrap() error { return e.First }

// Blocked is one entry that the appliance put on its blacklist.
type Blocked struct {
	Prefix  netip.Prefix
	Expires time.Time // when the entry ends by itself
}
