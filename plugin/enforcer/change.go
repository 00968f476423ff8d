package enforcer

import (
	"context"
	"net/netip"
	"time"

	"notification-stormshield/plugin/ledger"
)

// Appliance is a firewall.
type Appliance interface {
	// Apply brings a change about and returns what was acknowledged, also
	// with an error: what is missing there is still pending. A login that failed is
	// a [LoginError]. An error of a flush whose Done has an At is a warning,
	// such as why bans are Refused: all else was done.
	Apply(ctx context.Context, c Change) (Done, error)
}

// Change is what an appliance is told: what differs since the last time, and
// how to learn of everything in force where that is not enough.
type Change struct {
	Block    []ledger.Standing // to block, each until its end; if they are more than Config.Few, not all of them
	Unblock  []netip.Prefix    // ended, and perhaps on the blacklist
	Add      []netip.Prefix    // in force, and not known to be in the appliance's files
	Remove   []netip.Prefix    // ended, and perhaps in the files
	Total    int               // how many bans are in force
	Reassert bool              // block everything in force anew

	// AskSerial has the appliance asked for its serial number before anything is
	// blocked or unblocked. Serial is the number that it is known by; "" if none is
	// known. If it has another one, Apply ends with an [OtherApplianceError].
	AskSerial bool
	Serial    string
	// OldGroups are groups that the configuration does not name any more. Once
	// everything is blocked by the groups of now, what only they list is
	// unblocked, and they are removed.
	OldGroups []string

	// Mark is what Apply said of the files when it last wrote them; "" if that
	// is not known. While the files are the ones that it tells of, Add and
	// Remove are all that they differ by.
	Mark string

	// Standing returns all bans in force. Apply calls it when the files are not
	// the ones that Mark tells of and must be compared whole, at most once each
	// time that it reads them; found is what their group lists then.
	Standing func(ctx context.Context, found []netip.Prefix) ([]netip.Prefix, error)

	// Each returns every ban that must be blocked one by one for
	// Config.EntryLife, the most urgent first, where Apply must not block all by
	// their group: what Block leaves out too, and with Reassert every ban in force that no earlier flush of the
	// same re-assert blocked.
	Each func(ctx context.Context) ([]netip.Prefix, error)

	// Begin is to be called before the appliance is told anything; its error
	// ends the flush.
	Begin func() error
}

// Done is what an appliance acknowledged. Its Mark is Change.Mark if the files
// were left as they are, and "" if Apply cannot say what they are now. Its
// Confirmed is the enforcer's to tell.
type Done struct {
	ledger.Outcome
	Leftovers int // objects of ours that nothing asked for, taken off
	// Kept says of each group in Change.OldGroups that stays why it does.
	Kept []string
}

// OtherApplianceError says that another appliance answers than before. Nothing
// was blocked or unblocked on it.
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
func (e *LoginError) Failure() ledger.LoginFailure {
	return ledger.LoginFailure{Reason: e.Error(), Hint: e.Hint, Temporary: e.Temporary, Delay: e.Delay}
}
