package main

import (
	"context"
	"errors"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
)

type statusOptions struct {
	selection
}

func statusCommand() command {
	var o statusOptions
	return command{
		usage:   "status [-c FILE] [-n NAME]",
		summary: "Show whether bans are enforced",
		help: `Shows how many bans are in force, how many are pending and since when, when the
last flush was, which process of the plugin flushes, and the last error. It reads
the plugin's state alone, and connects to nothing. The exit status is 1 if the
first line says NOT WORKING. Bans that wait because of max_bans are no reason.

With --json: name, host, ssh (false: over the API alone), enforce (blacklist, rule
or both), observing (true: the filter rule only logs, and nothing is blocked),
rule_stale_since (since when the running filter rule lacks changes of the group; a
time, or null), max_bans, state (a path), working, problem (text; absent if
working), process (null: none runs), in_force, of_lists (bans in force of the
class lists), in_force_by_class and waiting_by_class (numbers: local, imports,
lists), to_block, to_unblock, pending_since (since when the oldest of these two is
pending, or when a flush was cut; a time, or null), next_end, last_flush,
blocked_anew (the last re-assert; times, or null), local_api (null: it is not
followed; or last_read, unread_since (times, or null), error, left_out (all bans
that wait)), trouble (null, or text, since, last, count, warning (true: all bans
are enforced), files (true: only the appliance's files failed)), files (null:
there are no credentials for SSH; or compared (when the files were last compared
with the bans in force, a time or null), to_write (bans that the files lack or no
longer need), ranges (ranges to block, which need the files)), login_hold_off
(null, or until, refused (failed logins), reason, hint).`,
		example: "  crowdsec-stormshield status",
		bind:    o.bind,
		run:     func(ctx context.Context, _ []string, out output) error { return runStatus(ctx, o, out) },
	}
}

func runStatus(ctx context.Context, o statusOptions, out output) error {
	d, state, err := o.open(ctx, plugin.State.OpenReadOnly)
	if err != nil {
		return err
	}
	defer state.Close()
	s, err := readStatus(ctx, d, state, time.Now())
	if err != nil {
		return err
	}
	if o.json {
		err = out.printJSON(s)
	} else {
		err = s.print(out.stdout, time.Now())
	}
	if err == nil && !s.Working {
		err = errors.New("the plugin does not work as it should; see the first line")
	}
	return err
}

// status is the health of one notification.
type status struct {
	Name string `json:"name"`
	Host string `json:"host"`
	SSH  bool   `json:"ssh"`

	Enforce        string     `json:"enforce"`
	Observing      bool       `json:"observing"`
	RuleStaleSince *time.Time `json:"rule_stale_since"`

	MaxBans int    `json:"max_bans"`
	State   string `json:"state"`
	Working bool   `json:"working"`
	Problem string `json:"problem,omitempty"`
	Process *int   `json:"process"`

	InForce   int `json:"in_force"`
	OfLists   int `json:"of_lists"`
	ToBlock   int `json:"to_block"`
	ToUnblock int `json:"to_unblock"`

	InForceByClass ledger.Counts `json:"in_force_by_class"`
	WaitingByClass ledger.Counts `json:"waiting_by_class"`

	PendingSince *time.Time `json:"pending_since"`

	NextEnd     *time.Time `json:"next_end"`
	LastFlush   *time.Time `json:"last_flush"`
	BlockedAnew *time.Time `json:"blocked_anew"`

	LocalAPI *localAPI `json:"local_api"`

	Trouble *trouble `json:"trouble"`
	Files   *files   `json:"files"`
	HoldOff *holdOff `json:"login_hold_off"`
}

// trouble is the error of flushes that fail, or the warning of the last flush.
type trouble struct {
	Text    string    `json:"text"`
	Since   time.Time `json:"since"`
	Last    time.Time `json:"last"`
	Count   int       `json:"count"`
	Warning bool      `json:"warning"`
	Files   bool      `json:"files"`
}

// files are the appliance's files, which the plugin writes over SSH.
type files struct {
	Compared *time.Time `json:"compared"`
	ToWrite  int        `json:"to_write"`
	Ranges   int        `json:"ranges"`
}

// localAPI is the last read of the Local API, and the error of later reads.
type localAPI struct {
	LastRead    *time.Time `json:"last_read"`
	UnreadSince *time.Time `json:"unread_since"`
	Error       string     `json:"error,omitempty"`
	LeftOut     int        `json:"left_out"`
}

// holdOff is the reason to try no login.
type holdOff struct {
	Until   time.Time `json:"until"`
	Refused int       `json:"refused"`
	Reason  string    `json:"reason"`
	Hint    string    `json:"hint"`
}

// readStatus reads the health of a notification from its state.
func readStatus(ctx context.Context, d config.Document, l *ledger.Ledger, now time.Time) (status, error) {
	read, err := l.Status(ctx, now)
	if err != nil {
		return status{}, err
	}
	state := plugin.StateOf(d)
	s := status{
		Name: d.Name, Host: d.Stormshield.Host, SSH: d.Stormshield.UsesSSH(), MaxBans: d.Decisions.MaxBans, State: state.Path,
		InForce: read.InForce.Total(), OfLists: read.InForce[ban.Remote], InForceByClass: read.InForce, WaitingByClass: read.Waiting,
		NextEnd: jsonTime(read.Next), Enforce: d.Stormshield.Enforce, Observing: d.Stormshield.IsObserving(),
	}
	if problem, err := targetProblem(ctx, d, l); err != nil || problem != "" {
		s.Problem, s.ToBlock = problem, s.InForce
		return s, err
	}
	if err := readSecrets(&d); err != nil {
		return status{}, err
	}
	h := holdOffOf(d)
	hold, isHeld, err := h.file.CurrentReadOnly(h.credentials, now)
	if err != nil {
		return status{}, err
	}
	pid, err := lease.Holder(state.Lease)
	if err != nil {
		return status{}, err
	}
	s.ToBlock, s.ToUnblock, s.PendingSince = read.ToBlock, read.ToUnblock, jsonTime(read.Pending)
	if d.Stormshield.UsesRule() {
		s.RuleStaleSince = jsonTime(read.Stale)
	}
	s.LastFlush, s.BlockedAnew = jsonTime(read.Flushed), jsonTime(read.Confirmed)
	if pid != 0 {
		s.Process = &pid
	}
	s.Trouble = troubleOf(read)
	if d.Stormshield.UsesSSH() {
		s.Files = &files{Compared: jsonTime(read.Compared), ToWrite: read.ToWrite, Ranges: read.Ranges}
	}
	if d.LAPI.Followed() {
		f := read.LocalAPI
		s.LocalAPI = &localAPI{LastRead: jsonTime(f.LastRead), UnreadSince: jsonTime(f.FailingSince), Error: f.Error, LeftOut: read.Waiting.Total()}
	}
	if isHeld {
		s.HoldOff = &holdOff{Until: hold.Until, Refused: hold.Failures, Reason: hold.Reason, Hint: hold.Advice()}
	}
	s.Problem = s.problem(d, now)
	s.Working = s.Problem == ""
	return s, nil
}

// troubleOf returns the trouble that matters more: that of whole flushes before that of the files, and a failure before a warning.
func troubleOf(s ledger.Status) *trouble {
	t, ofFiles := s.Trouble, false
	if s.Files.Count > 0 && (t.Count == 0 || t.Warning && !s.Files.Warning) {
		t, ofFiles = s.Files, true
	}
	if t.Count == 0 {
		return nil
	}
	return &trouble{Text: t.Text, Since: t.Since, Last: t.Last, Count: t.Count, Warning: t.Warning, Files: ofFiles}
}

// hasFilesFailure reports whether the last flush that needed the files could not write them.
func (s status) hasFilesFailure() bool {
	return s.Trouble != nil && s.Trouble.Files && !s.Trouble.Warning
}

// isRuleOverdue reports whether the running filter rule lacks changes for longer than a flush and an activation should need.
func (s status) isRuleOverdue(d config.Document, now time.Time) bool {
	return s.RuleStaleSince != nil && now.Sub(*s.RuleStaleSince) > 3*d.UpdateFrequency+d.Stormshield.Rule.ActivateEvery+time.Minute
}

// isOverdue reports whether something is pending for longer than a flush should need. The state may hold no trouble then,
// such as when its disk is full, or while a flush hangs.
func (s status) isOverdue(d config.Document, now time.Time) bool {
	return s.PendingSince != nil && now.Sub(*s.PendingSince) > 3*d.UpdateFrequency+time.Minute
}
