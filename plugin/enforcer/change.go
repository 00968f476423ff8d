package enforcer

import (
	"context"
	"net/netip"
	"time"

	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/lockout"
)

// Appliance is a firewall.
type Appliance interface {
	// Apply brings a change about and returns what was acknowledged, also
	// with an error: what is missing there is still pending. A login that failed is
	// a [LoginError]. An error of a flush whose Done has an At is a warning,
	// such as why bans are Refused: all else was done.
	Apply(ctx context.Context, c Change) (Done, error)
}

// Change is what a flush applies: what is pending, and functions that return everything in force where that is not enough.
type Change struct {
	Block    []ledger.Standing // to block, each until its end; if they are more than Config.Few, not all of them
	Unblock  []netip.Prefix    // over or waiting, and perhaps on the blacklist
	Add      []netip.Prefix    // in force, and not known to be in the appliance's files
	Remove   []netip.Prefix    // over or waiting, and perhaps in the files
	Total    int               // how many bans are in force
	Reassert bool              // block everything in force again

	// AskSerial makes Apply ask for the serial number before it blocks or unblocks anything. Serial is the known number; "":
	// none is known. If the appliance has another one, Apply ends with an [OtherApplianceError].
	AskSerial bool
	Serial    string
	// OldGroups are groups that the configuration does not name any more. Apply first blocks everything by the new groups.
	// Then it unblocks the addresses that only old groups list, and removes the old groups.
	OldGroups []string

	// Mark identifies the files as Apply last wrote them; "": not known. While the files match it, Add and Remove are all
	// that they lack.
	Mark string

	// Standing returns all bans in force. Apply calls it when the files do not match Mark and must be compared whole, at most
	// once each time that it reads them. found is what the group in the files lists then.
	Standing func(ctx context.Context, found []netip.Prefix) ([]netip.Prefix, error)

	// Each returns every ban that must be blocked one by one for Config.EntryLife, the most urgent first. Apply calls it where
	// no command may name the group. It also returns the bans that Block leaves out, and with Reassert every ban in force that
	// no earlier flush of the same re-assert blocked.
	Each func(ctx context.Context) ([]netip.Prefix, error)

	// Begin must be called before Apply blocks or unblocks anything. Its error ends the flush.
	Begin func() error
}

// Done is what an appliance acknowledged. Its Mark is Change.Mark if Apply did not change the files, and "" if Apply does
// not know what they are now. The enforcer sets Confirmed.
type Done struct {
	ledger.Outcome
	Leftovers int // objects of ours that nothing asked for, taken off
	// Kept names each group in Change.OldGroups that stays, with the reason.
	Kept []string
}

// OtherApplianceError says that another appliance answers than before. Apply blocked and unblocked nothing on it.
type OtherApplianceError struct {
	Serial string // its serial number
	Err    error
}

func (e *OtherApplianceError) Error() string { return e.Err.Error() }

func (e *OtherApplianceError) Unwrap() error { return e.Err }

// LoginError says that an appliance did not accept a login.
type LoginError struct {
	Temporary bool          // it did not refuse the account: the same login may be accepted later
	Delay     time.Duration // how long it wants to be left alone; 0: it did not say
	Hint      string        // what the administrator can do
	Err       error
}

func (e *LoginError) Error() string { return e.Err.Error() }

func (e *LoginError) Unwrap() error { return e.Err }

// Failure is the error as the ledger records it.
func (e *LoginError) Failure() lockout.Failure {
	return lockout.Failure{Reason: e.Error(), Hint: e.Hint, Temporary: e.Temporary, Delay: e.Delay}
}
