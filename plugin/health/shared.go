package health

import (
	"fmt"
	"time"
)

// Shared is a state that several machines share, as this machine sees it.
type Shared struct {
	Place   string `json:"place"`   // the database, without its password
	Machine string `json:"machine"` // the name of this machine
	Holder  string `json:"holder"`  // the machine that enforces; "": none, or it is not known

	Waiting      int        `json:"waiting"` // decisions of alerts that this machine must still send to the database
	WaitingSince *time.Time `json:"waiting_since"`

	AwaySince *time.Time `json:"away_since"`
	Error     string     `json:"error,omitempty"`
	Alone     bool       `json:"alone"`

	Warning  string    `json:"warning,omitempty"`
	Machines []Machine `json:"machines"` // nil: not known

	unheldSince time.Time // since when no machine enforces; zero: one does, or it is not known
}

// Machine is one of the machines that share a state.
type Machine struct {
	Name         string     `json:"name"`
	Seen         *time.Time `json:"seen"`
	Holder       bool       `json:"holder"`
	Version      string     `json:"version"`
	Waiting      int        `json:"waiting"`
	WaitingSince *time.Time `json:"waiting_since"`
	LocalAPI     *Reads     `json:"local_api"` // nil: it has not read one yet
}

// Reads are the last read of the Local API of a machine, and the error of later reads.
type Reads struct {
	LastRead    *time.Time `json:"last_read"`
	UnreadSince *time.Time `json:"unread_since"`
	Error       string     `json:"error,omitempty"`
}

const (
	// holderFor is how long after the last beat of the holder another machine needs at most to take over.
	holderFor = 30 * time.Second
	// seenFor is how long after its last beat a machine counts as seen. Each machine records a beat every five seconds.
	seenFor = time.Minute
	// goneAfter is how long after its last beat a machine counts as removed. Then no warning names it.
	goneAfter = 7 * 24 * time.Hour
	// waitingFor is how long a decision may wait in the outbox while the database can be used.
	waitingFor = time.Minute
)

// unseenHint says what to do about a machine that is not seen.
const unseenHint = " (hint: does CrowdSec run there, and can that machine use the database?)"

// isUnseen reports whether a machine has recorded no beat for a minute, and was not removed.
func (m Machine) isUnseen(now time.Time) bool {
	return m.Seen != nil && now.Sub(*m.Seen) > seenFor && now.Sub(*m.Seen) < goneAfter
}

// sharedProblem returns why the machines that share a state are NOT WORKING, or this one of them; "" if they work.
func (s Source) sharedProblem(r Report, now time.Time) string {
	shared := r.Shared
	if shared == nil {
		return ""
	}
	since := func(began time.Time) string { return FormatDuration(now.Sub(began)) }
	switch {
	case shared.AwaySince != nil && shared.Alone:
		left := shared.AwaySince.Add(s.Document.Stormshield.BlacklistTimeout).Sub(now)
		return fmt.Sprintf("the database of the shared state cannot be used for %s: this machine goes on alone, "+
			"with the bans that it knows and its own alerts, for %s at most (hint: start PostgreSQL; the row database has the error)", since(*shared.AwaySince), FormatDuration(left))
	case shared.AwaySince != nil:
		return fmt.Sprintf("the database of the shared state cannot be used for %s: this machine records alerts, and does not enforce them "+
			"(hint: does PostgreSQL run, and can this machine connect to it? The row database has the error)", since(*shared.AwaySince))
	case !shared.unheldSince.IsZero() && now.Sub(shared.unheldSince) > holderFor:
		return fmt.Sprintf("no machine has held the shared lease for %s (hint: CrowdSec's log on each machine says why)", since(shared.unheldSince))
	case shared.WaitingSince != nil && now.Sub(*shared.WaitingSince) > waitingFor:
		return fmt.Sprintf("%s for the database for up to %s (hint: CrowdSec's log says why)",
			FormatCount(shared.Waiting, "decision has waited", "decisions have waited"), since(*shared.WaitingSince))
	}
	return ""
}
