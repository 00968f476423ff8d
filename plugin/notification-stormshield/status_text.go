package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

// reportTable is a report as a table of two columns.
type reportTable struct {
	health.Report
	now   time.Time
	table *tabwriter.Writer
}

// printReport prints a report for people.
func printReport(out io.Writer, r health.Report, now time.Time) error {
	verdict, colour := "working", green
	if !r.Working {
		verdict, colour = "NOT WORKING:", red
	}
	sentence := strings.Replace(r.Sentence(), verdict, painter(out)(colour, verdict), 1)
	fmt.Fprintf(out, "%s, the appliance at %s: %s\n\n", r.Name, r.Host, sentence)
	t := reportTable{r, now, tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.addBans()
	if r.Files != nil {
		t.addFiles()
	}
	if r.Enforce != "blacklist" {
		t.addRule()
	}
	t.row("last flush", "%s", t.ago(r.LastFlush))
	t.row("last re-assert", "%s", t.ago(r.BlockedAnew))
	if l := r.LocalAPI; l != nil && l.UnreadSince == nil {
		t.row("Local API", "read %s", t.ago(l.LastRead))
	} else if l != nil {
		t.row("Local API", "not read for %s: %s", t.since(*l.UnreadSince), l.Error)
	}
	if r.Process == nil {
		t.row("process", "none")
	} else {
		t.row("process", "%d", *r.Process)
	}
	if r.Trouble != nil && r.Trouble.Warning {
		t.row("warning", "%s, for %s: %s", t.ago(&r.Trouble.Last), t.since(r.Trouble.Since), r.Trouble.Text)
	} else if r.Trouble != nil {
		t.row("last error", "%s, %d in a row: %s", t.ago(&r.Trouble.Last), r.Trouble.Count, r.Trouble.Text)
	}
	if r.HoldOff != nil {
		t.row("logins", "%d failed in a row, the last: %s", r.HoldOff.Refused, r.HoldOff.Reason)
	}
	t.row("state", "%s", r.State)
	return t.table.Flush()
}

// addBans adds the rows about bans.
func (t reportTable) addBans() {
	if !t.SSH {
		t.row("SSH", "not used; over the API alone: single addresses, no ranges, at most %d bans (max_bans)", t.MaxBans)
	}
	inForce := fmt.Sprint(t.InForce)
	if t.InForceByClass[ban.Local] < t.InForce {
		inForce += " (" + t.InForceByClass.String() + ")"
	}
	if t.NextEnd != nil {
		inForce += ", the next ends in " + health.FormatDuration(t.NextEnd.Sub(t.now))
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
		t.row("", "hint: %s", ledger.WaitingHint)
	}
}

// addFiles adds the row about the appliance's files.
func (t reportTable) addFiles() {
	text := "compared " + t.ago(t.Files.Compared)
	if t.HasFilesFailure() && t.Enforce != "blacklist" {
		text += fmt.Sprintf("; not written or not activated for %s", t.since(t.Trouble.Since))
	} else if t.HasFilesFailure() {
		text += fmt.Sprintf("; not written for %s, addresses are blocked over the API alone", t.since(t.Trouble.Since))
	} else if t.Files.ToWrite > 0 {
		follows := "with the next re-assert"
		if t.Enforce != "blacklist" {
			follows = "with the next flush"
		}
		text += fmt.Sprintf("; %s %s", health.FormatCount(t.Files.ToWrite, "change follows", "changes follow"), follows)
	}
	t.row("files", "%s", text)
}

// addRule adds the row about the filter rule.
func (t reportTable) addRule() {
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

func (t reportTable) row(title, format string, args ...any) {
	fmt.Fprintf(t.table, "  %s\t%s\n", title, fmt.Sprintf(format, args...))
}

func (t reportTable) since(began time.Time) string { return health.FormatDuration(t.now.Sub(began)) }

func (t reportTable) ago(at *time.Time) string {
	if at == nil {
		return "not yet"
	}
	return t.since(*at) + " ago"
}
