package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
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

With --json: name, host, ssh (false: over the API alone), max_bans, state (a
path), working, problem (text; absent if
working), process (null: none runs), in_force, of_lists (bans in force of the
class lists), in_force_by_class and waiting_by_class (numbers: local, imports,
lists), to_block, to_unblock, pending_since (since when the oldest of these two is
pending, or when a flush was cut; a time, or null), next_end, last_flush,
blocked_anew (the last re-assert; times, or null), local_api (null: it is not
followed; or last_read, unread_since (times, or null), error, left_out (all bans
that wait)), trouble (null, or text, since, last, count, warning (true: all bans
are enforced), files (true: only the appliance's files are concerned)), files
(null: there are no credentials for SSH; or compared (when they were last compared
with the bans in force, a time or null), to_write (bans that they lack or no longer
need), ranges (ranges to block, which need the files)), login_hold_off (null, or until, refused (failed logins), reason,
hint).`,
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
	Name    string `json:"name"`
	Host    string `json:"host"`
	SSH     bool   `json:"ssh"`
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

// trouble is the error of failing flushes, or the warning of the last one.
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
	if problem, err := targetProblem(ctx, d, l); err != nil || problem != "" {
		return status{
			Name: d.Name, Host: d.Stormshield.Host, SSH: d.Stormshield.UsesSSH(), MaxBans: d.Decisions.MaxBans, State: plugin.StateOf(d).Path, Problem: problem,
			InForce: read.InForce.Total(), OfLists: read.InForce[ban.Remote], ToBlock: read.InForce.Total(), NextEnd: jsonTime(read.Next),
			InForceByClass: read.InForce, WaitingByClass: read.Waiting,
		}, err
	}
	if err := readSecrets(&d); err != nil {
		return status{}, err
	}
	h := holdOffOf(d)
	hold, isHeld, err := h.file.CurrentReadOnly(h.credentials, now)
	if err != nil {
		return status{}, err
	}
	state := plugin.StateOf(d)
	pid, err := lease.Holder(state.Lease)
	if err != nil {
		return status{}, err
	}
	s := status{
		Name: d.Name, Host: d.Stormshield.Host, SSH: d.Stormshield.UsesSSH(), MaxBans: d.Decisions.MaxBans, State: state.Path,
		InForce: read.InForce.Total(), OfLists: read.InForce[ban.Remote], ToBlock: read.ToBlock, ToUnblock: read.ToUnblock,
		InForceByClass: read.InForce, WaitingByClass: read.Waiting, PendingSince: jsonTime(read.Pending),
		NextEnd: jsonTime(read.Next), LastFlush: jsonTime(read.Flushed), BlockedAnew: jsonTime(read.Confirmed),
	}
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

// lackFiles reports whether the files are failing.
func (s status) lackFiles() bool { return s.Trouble != nil && s.Trouble.Files && !s.Trouble.Warning }

// isReassertOverdue reports whether a failure of the files delays the re-assert for a long time.
func (s status) isReassertOverdue(d config.Document, now time.Time) bool {
	every := cmp.Or(d.Stormshield.ReassertEvery, d.Stormshield.BlacklistTimeout/2)
	return s.BlockedAnew == nil || now.Sub(*s.BlockedAnew) > 2*every+time.Minute
}

// isOverdue reports whether something is pending for longer than a flush should need. The state may hold no trouble then,
// such as when its disk is full, or while a flush hangs.
func (s status) isOverdue(d config.Document, now time.Time) bool {
	return s.PendingSince != nil && now.Sub(*s.PendingSince) > 3*d.UpdateFrequency+time.Minute
}

// problem returns why the status is NOT WORKING, in one sentence; "" if it is working.
func (s status) problem(d config.Document, now time.Time) string {
	switch {
	case s.Process == nil:
		return "no process of the plugin runs (hint: see that profiles.yaml names " + s.Name + ", then restart CrowdSec)"
	case d.DryRun:
		return "dry_run is set: nothing is sent to the appliance"
	case s.HoldOff != nil:
		return fmt.Sprintf("no login is tried for %s (hint: %s)",
			formatDuration(s.HoldOff.Until.Sub(now)), s.HoldOff.Hint)
	case s.lackFiles() && s.Files != nil && s.Files.Ranges > 0:
		return fmt.Sprintf("the appliance's files cannot be written over SSH for %s, and %s wait for them (hint: the error says why; `check` tries everything)",
			formatDuration(now.Sub(s.Trouble.Since)), formatCount(s.Files.Ranges, "range", "ranges"))
	case s.lackFiles() && s.isReassertOverdue(d, now):
		return fmt.Sprintf("the appliance's files cannot be written over SSH for %s, so nothing repairs its blacklist "+
			"(hint: the error says why; `check` tries everything)", formatDuration(now.Sub(s.Trouble.Since)))
	case s.Trouble != nil && !s.Trouble.Warning && !s.Trouble.Files:
		return fmt.Sprintf("flushes have failed for %s (hint: the error says why; `check` tries everything)", formatDuration(now.Sub(s.Trouble.Since)))
	case s.isOverdue(d, now) && s.ToBlock+s.ToUnblock == 0:
		return fmt.Sprintf("a flush was cut %s ago, and the next one has not repaired the appliance's files yet "+
			"(hint: CrowdSec's log says what the plugin does)",
			formatDuration(now.Sub(*s.PendingSince)))
	case s.isOverdue(d, now):
		return fmt.Sprintf("%d to block and %d to unblock have been pending for up to %s "+
			"(hint: CrowdSec's log says what the plugin does; is the disk full that holds the state?)",
			s.ToBlock, s.ToUnblock, formatDuration(now.Sub(*s.PendingSince)))
	case s.LocalAPI != nil && s.LocalAPI.UnreadSince != nil:
		return fmt.Sprintf("the Local API is not followed for %s: known bans stay enforced, new ones come from alerts alone "+
			"(hint: the row Local API has the error; `check` tries it)",
			formatDuration(now.Sub(*s.LocalAPI.UnreadSince)))
	}
	return ""
}

// print prints the status for people.
func (s status) print(out io.Writer, now time.Time) error {
	ago := func(t *time.Time) string {
		if t == nil {
			return "not yet"
		}
		return fmt.Sprintf("%s ago", formatDuration(now.Sub(*t)))
	}
	paint := painter(out)
	verdict := paint(green, "working")
	if !s.Working {
		verdict = paint(red, "NOT WORKING: ") + s.Problem
	}
	fmt.Fprintf(out, "%s, the appliance at %s: %s\n\n", s.Name, s.Host, verdict)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(title, format string, args ...any) {
		fmt.Fprintf(table, "  %s\t%s\n", title, fmt.Sprintf(format, args...))
	}
	if !s.SSH {
		row("mode", "over the API alone: single addresses, no ranges, at most %d bans (max_bans)", s.MaxBans)
	}
	inForce := fmt.Sprint(s.InForce)
	if s.InForceByClass[ban.Local] < s.InForce {
		inForce += " (" + s.InForceByClass.String() + ")"
	}
	if s.NextEnd != nil {
		inForce += ", the next ends in " + formatDuration(s.NextEnd.Sub(now))
	}
	row("bans in force", "%s", inForce)
	switch {
	case s.ToBlock+s.ToUnblock > 0 && s.PendingSince != nil:
		row("pending", "%d to block, %d to unblock, the oldest for %s", s.ToBlock, s.ToUnblock, formatDuration(now.Sub(*s.PendingSince)))
	case s.ToBlock+s.ToUnblock > 0:
		row("pending", "%d to block, %d to unblock", s.ToBlock, s.ToUnblock)
	case s.PendingSince != nil:
		row("pending", "a flush was cut %s ago; the next one compares the files", formatDuration(now.Sub(*s.PendingSince)))
	default:
		row("pending", "nothing")
	}
	if s.WaitingByClass.Total() > 0 {
		row("waiting", "%s, because of max_bans", s.WaitingByClass)
		row("", "hint: %s", enforcer.WaitingHint)
	}
	if f := s.Files; f != nil {
		text := "compared " + ago(f.Compared)
		if s.lackFiles() {
			text += fmt.Sprintf("; not written for %s, addresses are blocked over the API alone", formatDuration(now.Sub(s.Trouble.Since)))
		} else if f.ToWrite > 0 {
			text += fmt.Sprintf("; %s with the next re-assert", formatCount(f.ToWrite, "change follows", "changes follow"))
		}
		row("files", "%s", text)
	}
	row("last flush", "%s", ago(s.LastFlush))
	row("last re-assert", "%s", ago(s.BlockedAnew))
	if l := s.LocalAPI; l != nil && l.UnreadSince == nil {
		row("Local API", "read %s", ago(l.LastRead))
	} else if l != nil {
		row("Local API", "not read for %s: %s", formatDuration(now.Sub(*l.UnreadSince)), l.Error)
	}
	if s.Process == nil {
		row("process", "none")
	} else {
		row("process", "%d", *s.Process)
	}
	if s.Trouble != nil && s.Trouble.Warning {
		row("warning", "%s, for %s: %s", ago(&s.Trouble.Last), formatDuration(now.Sub(s.Trouble.Since)), s.Trouble.Text)
	} else if s.Trouble != nil {
		row("last error", "%s, %d in a row: %s", ago(&s.Trouble.Last), s.Trouble.Count, s.Trouble.Text)
	}
	if s.HoldOff != nil {
		row("logins", "%d failed in a row, the last: %s", s.HoldOff.Refused, s.HoldOff.Reason)
	}
	row("state", "%s", s.State)
	return table.Flush()
}
