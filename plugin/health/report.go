package health

import (
	"time"

	"notification-stormshield/plugin/ledger"
)

// Report is the health of one notification. Its JSON is what `status --json` prints.
type Report struct {
	Name string `json:"name"`
	Host string `json:"host"`
	SSH  bool   `json:"ssh"`

	Enforce   string `json:"enforce"`
	Observing bool   `json:"observing"`

	MaxBans int    `json:"max_bans"`
	State   string `json:"state"`
	Working bool   `json:"working"`
	Problem string `json:"problem,omitempty"`
	Process *int   `json:"process"`

	HoldOff *HoldOff `json:"login_hold_off"`

	Shared *Shared `json:"shared"` // nil: no other machine shares the state

	*Contents // nil: the ledger cannot be read now, so that none of this is known
}

// Contents are what the ledger says.
type Contents struct {
	InForce   int `json:"in_force"`
	OfLists   int `json:"of_lists"`
	ToBlock   int `json:"to_block"`
	ToUnblock int `json:"to_unblock"`

	InForceByClass ledger.Counts `json:"in_force_by_class"`
	WaitingByClass ledger.Counts `json:"waiting_by_class"`

	Recorded int64 `json:"decisions_recorded"`

	PendingSince   *time.Time `json:"pending_since"`
	RuleStaleSince *time.Time `json:"rule_stale_since"`

	NextEnd      *time.Time `json:"next_end"`
	LastFlush    *time.Time `json:"last_flush"`
	LastReassert *time.Time `json:"blocked_anew"`

	LocalAPI *LocalAPI `json:"local_api"`

	Trouble *Trouble `json:"trouble"`
	Files   *Files   `json:"files"`
}

// Trouble is the error of flushes that fail, or the warning of the last flush.
type Trouble struct {
	Text    string    `json:"text"`
	Since   time.Time `json:"since"`
	Last    time.Time `json:"last"`
	Count   int       `json:"count"`
	Warning bool      `json:"warning"`
	Files   bool      `json:"files"`
}

// Files are the appliance's files, which the plugin writes over SSH.
type Files struct {
	Compared *time.Time `json:"compared"`
	ToWrite  int        `json:"to_write"`
	Ranges   int        `json:"ranges"`
}

// LocalAPI is the last read of the Local API, and the error of later reads.
type LocalAPI struct {
	LastRead    *time.Time `json:"last_read"`
	UnreadSince *time.Time `json:"unread_since"`
	Error       string     `json:"error,omitempty"`
	LeftOut     int        `json:"left_out"`
}

// HoldOff is the login hold-off.
type HoldOff struct {
	Until   time.Time `json:"until"`
	Refused int       `json:"refused"`
	Reason  string    `json:"reason"`
	Hint    string    `json:"hint"`
}

// Sentence returns the health in one sentence. It begins with "working" or "NOT WORKING".
func (r Report) Sentence() string {
	switch {
	case !r.Working:
		return "NOT WORKING: " + r.Problem
	case r.Observing:
		return "working, observing: the filter rule only logs, nothing is blocked"
	}
	return "working"
}

// HasFilesFailure reports whether the last flush that needed the files could not write them.
func (r Report) HasFilesFailure() bool {
	return r.Contents != nil && r.Trouble != nil && r.Trouble.Files && !r.Trouble.Warning
}
