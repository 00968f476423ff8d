package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
)

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
	case s.hasFilesFailure() && d.Stormshield.UsesRule():
		return fmt.Sprintf("the filter rule cannot be kept up to date over SSH for %s (hint: the error says why; `check` tries everything)",
			formatDuration(now.Sub(s.Trouble.Since)))
	case s.hasFilesFailure() && s.Files != nil && s.Files.Ranges > 0:
		return fmt.Sprintf("the appliance's files cannot be written over SSH for %s, and %s for them (hint: the error says why; `check` tries everything)",
			formatDuration(now.Sub(s.Trouble.Since)), formatCount(s.Files.Ranges, "range waits", "ranges wait"))
	case s.Trouble != nil && !s.Trouble.Warning && !s.Trouble.Files:
		return fmt.Sprintf("flushes have failed for %s (hint: the error says why; `check` tries everything)", formatDuration(now.Sub(s.Trouble.Since)))
	case s.isRuleOverdue(d, now):
		return fmt.Sprintf("the running filter rule has lacked changes of the group %s for %s (hint: CrowdSec's log says what the plugin does)",
			d.Stormshield.Group, formatDuration(now.Sub(*s.RuleStaleSince)))
	case s.isOverdue(d, now) && s.ToBlock+s.ToUnblock == 0 && s.hasFilesFailure():
		return fmt.Sprintf("the appliance's files cannot be written over SSH for %s, and a flush that was cut is not repaired "+
			"(hint: the error says why; `check` tries everything)", formatDuration(now.Sub(s.Trouble.Since)))
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

// statusTable is a status as a table of two columns.
type statusTable struct {
	status
	now   time.Time
	table *tabwriter.Writer
}

// print prints the status for people.
func (s status) print(out io.Writer, now time.Time) error {
	paint := painter(out)
	verdict := paint(green, "working")
	if s.Observing {
		verdict += ", observing: the filter rule only logs, nothing is blocked"
	}
	if !s.Working {
		verdict = paint(red, "NOT WORKING: ") + s.Problem
	}
	fmt.Fprintf(out, "%s, the appliance at %s: %s\n\n", s.Name, s.Host, verdict)
	t := statusTable{s, now, tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.addBans()
	if s.Files != nil {
		t.addFiles()
	}
	if s.Enforce != "blacklist" {
		t.addRule()
	}
	t.row("last flush", "%s", t.ago(s.LastFlush))
	t.row("last re-assert", "%s", t.ago(s.BlockedAnew))
	if l := s.LocalAPI; l != nil && l.UnreadSince == nil {
		t.row("Local API", "read %s", t.ago(l.LastRead))
	} else if l != nil {
		t.row("Local API", "not read for %s: %s", t.since(*l.UnreadSince), l.Error)
	}
	if s.Process == nil {
		t.row("process", "none")
	} else {
		t.row("process", "%d", *s.Process)
	}
	if s.Trouble != nil && s.Trouble.Warning {
		t.row("warning", "%s, for %s: %s", t.ago(&s.Trouble.Last), t.since(s.Trouble.Since), s.Trouble.Text)
	} else if s.Trouble != nil {
		t.row("last error", "%s, %d in a row: %s", t.ago(&s.Trouble.Last), s.Trouble.Count, s.Trouble.Text)
	}
	if s.HoldOff != nil {
		t.row("logins", "%d failed in a row, the last: %s", s.HoldOff.Refused, s.HoldOff.Reason)
	}
	t.row("state", "%s", s.State)
	return t.table.Flush()
}

// addBans adds the rows about bans.
func (t statusTable) addBans() {
	if !t.SSH {
		t.row("SSH", "not used; over the API alone: single addresses, no ranges, at most %d bans (max_bans)", t.MaxBans)
	}
	inForce := fmt.Sprint(t.InForce)
	if t.InForceByClass[ban.Local] < t.InForce {
		inForce += " (" + t.InForceByClass.String() + ")"
	}
	if t.NextEnd != nil {
		inForce += ", the next ends in " + formatDuration(t.NextEnd.Sub(t.now))
	}
	t.row("bans in force", "%s", inForce)
	switch {
	case t.ToBlock+t.ToUnblock > 0 && t.PendingSince != nil:
		t.row("pending", "%d to block, %d to unblock, the oldest for %s", t.ToBlock, t.ToUnblock, t.since(*t.PendingSince))
	case t.ToBlock+t.ToUnblock > 0:
		t.row("pending", "%d to block, %d to unblock", t.ToBlock, t.ToUnblock)
	case t.PendingSince != nil:
		t.row("pending", "a flush was cut %s ago; the next one compares the files", t.since(*t.PendingSince))
	default:
		t.row("pending", "nothing")
	}
	if t.WaitingByClass.Total() > 0 {
		t.row("waiting", "%s, because of max_bans", t.WaitingByClass)
		t.row("", "hint: %s", enforcer.WaitingHint)
	}
}

// addFiles adds the row about the appliance's files.
func (t statusTable) addFiles() {
	text := "compared " + t.ago(t.Files.Compared)
	if t.hasFilesFailure() && t.Enforce != "blacklist" {
		text += fmt.Sprintf("; not written or not activated for %s", t.since(t.Trouble.Since))
	} else if t.hasFilesFailure() {
		text += fmt.Sprintf("; not written for %s, addresses are blocked over the API alone", t.since(t.Trouble.Since))
	} else if t.Files.ToWrite > 0 {
		follows := "with the next re-assert"
		if t.Enforce != "blacklist" {
			follows = "with the next flush"
		}
		text += fmt.Sprintf("; %s %s", formatCount(t.Files.ToWrite, "change follows", "changes follow"), follows)
	}
	t.row("files", "%s", text)
}

// addRule adds the row about the filter rule.
func (t statusTable) addRule() {
	text := "enforces beside the blacklist"
	switch {
	case t.Observing:
		text = "only logs"
	case t.Enforce == "rule":
		text = "enforces alone"
	}
	if t.RuleStaleSince != nil {
		text += fmt.Sprintf("; it has lacked changes of the group for %s", t.since(*t.RuleStaleSince))
	} else {
		text += "; it has all changes"
	}
	t.row("filter rule", "%s", text)
}

func (t statusTable) row(title, format string, args ...any) {
	fmt.Fprintf(t.table, "  %s\t%s\n", title, fmt.Sprintf(format, args...))
}

func (t statusTable) since(began time.Time) string { return formatDuration(t.now.Sub(began)) }

func (t statusTable) ago(at *time.Time) string {
	if at == nil {
		return "not yet"
	}
	return t.since(*at) + " ago"
}
