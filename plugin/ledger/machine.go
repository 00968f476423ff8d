package ledger

import (
	"context"
	"errors"
	"math/bits"
	"net/netip"
	"time"

	"notification-stormshield/plugin/ban"
)

// ErrNotHolder says that another machine took over, so that this one may not record what the appliance acknowledged.
var ErrNotHolder = errors.New("another machine has taken over")

// ErrGap says that the state lacks messages of this machine that it had before. It came from a backup.
var ErrGap = errors.New("the state lacks earlier messages of this machine")

// errNotShared says that a method needs a state that several machines share.
var errNotShared = errors.New("this state belongs to one machine alone")

// Machine is a CrowdSec machine that uses a shared state.
type Machine struct {
	Name         string
	Number       int
	Seen         time.Time // its last beat; zero: none yet
	IsHolder     bool      // it has, or had last, the right to flush
	Version      string    // of its plugin
	Waiting      int       // how many decisions wait in its outbox
	WaitingSince time.Time
	LocalAPI     LocalAPI
}

// Holder is the machine that took over last.
type Holder struct {
	Machine  string // "": none did yet
	Term     int64  // how often a machine has taken over
	Released bool   // it handed over
	Since    time.Time
}

// Beat is what a machine tells the others about itself.
type Beat struct {
	Version      string
	Waiting      int // decisions in its outbox
	WaitingSince time.Time
}

// Beaten is the answer to a [Beat].
type Beaten struct {
	Beat      int64 // how often this machine has beaten, as the state knows it
	Forwarded int64 // the last message of this machine's outbox that the state has
}

// Forwarded is a message of this machine's outbox.
type Forwarded struct {
	Number       int64
	After        int64 // the message before it, which the state has
	Decisions    []ban.Decision
	MaybeBlocked bool // this machine may have blocked them while it could not use the state
}

// bitOf returns the bit of a machine in the sets of a decision.
func bitOf(number int64) int64 { return 1 << (number - 1) }

// number returns the number of this machine.
func (l *Ledger) number() int64 { return int64(bits.Len64(uint64(l.machine))) }

// IsShared reports whether several machines share the state.
func (l *Ledger) IsShared() bool { return false }

// Place says where the state is, without a password.
func (l *Ledger) Place() string { return l.path }

// Forward records messages of this machine's outbox, in one transaction. It skips those that it has recorded before. If
// the state lacks the message before one of them, Forward records nothing and the error is an [ErrGap].
func (l *Ledger) Forward(_ context.Context, _ []Forwarded, _ time.Time, _ int) (Recorded, error) {
	return Recorded{}, l.explain(errNotShared, "forward decisions")
}

// Beat records that this machine lives.
func (l *Ledger) Beat(_ context.Context, _ Beat, _ time.Time) (Beaten, error) {
	return Beaten{}, l.explain(errNotShared, "record that this machine lives")
}

// RecordRestored records that the state came from a backup. So the appliance may have other entries than the state says: the next flush
// compares the whole files, and blocks everything in force again.
func (l *Ledger) RecordRestored(_ context.Context, _ time.Time) error {
	return l.explain(errNotShared, "record that the state came from a backup")
}

// TakeOver makes this machine the holder, and returns the holder before. From then on no other machine can record what the appliance
// acknowledged. maxBans is the limit of this machine's configuration; it also holds for what other machines record.
func (l *Ledger) TakeOver(_ context.Context, _ int, _ time.Time) (Holder, error) {
	return Holder{}, l.explain(errNotShared, "take over")
}

// HandOver records that this machine stopped to flush, if no other one has taken over.
func (l *Ledger) HandOver(_ context.Context) error {
	return l.explain(errNotShared, "hand over")
}

// BlockedBans returns the bans in force, with their ends, that have a decision which was recorded after another one; 0: all. last is the
// decision that was recorded last.
func (l *Ledger) BlockedBans(_ context.Context, _ int64) (bans map[netip.Prefix]time.Time, last int64, err error) {
	return nil, 0, l.explain(errNotShared, "read the bans in force")
}
