// Package appliance holds the types that describe a flush: the change that it applies to an appliance, the outcome that the
// appliance acknowledged, and the errors by which the caller decides what to do next.
//
// The ledger finds what is pending and stores the outcome. The enforcer makes the change, and package stormshield applies
// it. The package does nothing itself, and imports nothing of ours. Its main types are [Change] and [Outcome].
package appliance

import (
	"context"
	"net/netip"
	"time"
)

// Ban is a prefix that must be blocked, and until when.
type Ban struct {
	Prefix netip.Prefix
	Until  time.Time
}

// Entry is one entry of the appliance's blacklist.
type Entry struct {
	Prefix  netip.Prefix
	Expires time.Time // when it ends by itself
}

// Pending is what must still be applied.
type Pending struct {
	// Block are bans in force that are not on the blacklist, or not for long enough. Block may leave out some if there are more
	// than the appliance blocks one by one: then a group names them all.
	Block   []Ban
	Unblock []netip.Prefix // ended or waiting, and perhaps still on the blacklist
	Add     []netip.Prefix // in force, and not known to be in the appliance's files
	Remove  []netip.Prefix // ended or waiting, and perhaps in the files
	// Cut lists addresses that get their first entry in this flush, and whose established connections the flush then cuts.
	Cut []netip.Prefix
	// EntriesLeft says that bans in force may have entries on the blacklist that must go, because the filter rule alone enforces now.
	EntriesLeft bool
	InForce     int // how many bans are in force
	// Mark identifies the files as a flush left them; "": not known. While the files match it, only Add and Remove must be
	// changed in them. Only the client of the appliance reads it.
	Mark string
}

// Change is the task of a flush: what is pending, and functions that return more where that is not enough.
type Change struct {
	Pending
	// Files says that the flush logs in over SSH, and writes the bans in force to the files. Without Files it leaves the files as
	// they are, and blocks and unblocks one by one over the API. Then Block has no range that the files lack, because a command
	// names a range by its object in the files.
	Files bool
	// Reassert says that everything in force is blocked again. Without Files, the flush names the group if GroupListsAll is set.
	// Otherwise it asks for the blacklist and blocks what that lacks.
	Reassert bool
	// GroupListsAll says that the group in the files lists the bans in force and no others.
	GroupListsAll bool

	// Activate says that the flush may run the commands that make the running filter rule see the group. The flush runs them if it changed
	// the files, or if the running rule lacks an earlier change (Stale). It calls BeginActivation before; an error of it ends the flush.
	Activate, Stale bool
	BeginActivation func() error

	// AskSerial asks for the serial number before anything is blocked or unblocked. Serial is the known number; "": none is
	// known. If the appliance has another one, the flush ends with an [OtherApplianceError].
	AskSerial bool
	Serial    string

	// OldGroups are groups that the configuration does not name any more. The flush first blocks everything by the new groups.
	// Then it unblocks the addresses that only old groups list, and removes the old groups.
	OldGroups []string

	// Permit is called before each login, before each command, and before a program that was sent over SSH may run. It is not called
	// before the commands that only give the monitor right back and log out. Its first error ends the flush before that step, as a
	// [NotPermittedError]: this process may not flush any more. nil: it may. It must not block, and several goroutines may call it.
	Permit func() error

	// Begin is called before the flush sends anything. Its error ends the flush.
	Begin func() error
	// BeginFiles is called before a flush with Files changes the files, or names the group in a command. Its error ends the flush.
	// nil: the flush calls nothing.
	BeginFiles func() error

	// AllInForce returns all bans in force. The flush calls it when it compares the whole files, at most once after each read.
	// listed are the members of the group in the files.
	AllInForce func(ctx context.Context, listed []netip.Prefix) ([]netip.Prefix, error)

	// BansWithEntry returns every ban in force that may have an entry. A re-assert that blocks what the blacklist lacks calls it.
	BansWithEntry func(ctx context.Context) ([]Ban, error)

	// OneByOne returns every ban that must be blocked one by one, for as long as an entry lives, the most urgent first. The flush
	// calls it where no command may name the group. It also returns the bans that Block leaves out, and with Reassert every ban
	// in force that no earlier flush of the same re-assert blocked.
	OneByOne func(ctx context.Context) ([]netip.Prefix, error)
}

// Outcome is the part of a change that the appliance acknowledged. It counts also when the flush failed. The rest is still
// pending.
type Outcome struct {
	Blocked   []Entry
	Unblocked []netip.Prefix
	Listed    bool   // the files list every ban that was in force when the flush began
	Cleared   bool   // the files name no other prefix
	Mark      string // of the files as they are now; "": not known. It is Pending.Mark if the flush did not change them

	Changed   bool      // the flush changed the files
	Activated time.Time // when the running filter rule had all changes of the files; zero: the flush did not activate it

	// RuleMissing says that the flush failed because no filter rule in force names the group.
	RuleMissing bool
	// EntriesGone says that the flush took the entries of EntriesLeft off the blacklist.
	EntriesGone bool

	// Compared is when the files listed the bans in force and no others; zero: the flush left them as they are, or failed.
	Compared time.Time

	// Confirmed is when a re-assert without the group had found or made an entry for everything in force; zero: it did not.
	Confirmed time.Time

	// Asserted is when the appliance had blocked everything in force by the group; zero: it did not. The files list every
	// ban then, so Asserted implies Listed.
	Asserted      time.Time
	AssertedUntil time.Time // when these entries end

	At time.Time // when the flush succeeded; zero: it failed, or did nothing
	// Warning is set after a successful flush if bans are Refused.
	Warning error
	// FilesWarning is set after a successful flush with Files if a group has foreign members.
	FilesWarning error
	// CutWarning says why the appliance refused to cut the connections of an address; nil: it did not refuse.
	CutWarning error
	// Refused are bans that the appliance refused in a successful flush. They stay pending.
	Refused []netip.Prefix
	// Unfinished says that a successful flush left changes to the next one.
	Unfinished bool
	Leftovers  int // objects of ours of bans that the ledger does not know; the flush unblocked and removed them

	Serial        string   // the appliance's serial number; "": unknown
	OldGroupsGone bool     // the files hold nothing of ours in Change.OldGroups any more
	Kept          []string // each of these groups that stays, with the reason
}
