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

// statusTable is a status as a table of two columns.
type statusTable struct {
	status
	table *tabwriter.Writer
}

// print prints the status for people.
func (s status) print(out io.Writer) error {
	verdict, colour := "working", green
	if !s.Working {
		verdict, colour = "NOT WORKING:", red
	}
	sentence := strings.Replace(s.Sentence(), verdict, painter(out)(colour, verdict), 1)
	fmt.Fprintf(out, "%s, the appliance at %s: %s\n\n", s.Name, s.Host, sentence)
	t := statusTable{s, tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	if !s.SSH {
		t.row("SSH", "not used; over the API alone: single addresses, no ranges, at most %d bans (max_bans)", s.MaxBans)
	}
	if s.Contents == nil {
		for _, title := range []string{"bans in force", "pending", "last flush", "last re-assert"} {
			t.row(title, "not known")
		}
	} else {
		t.addContents(isTerminal(out))
	}
	if s.Process == nil {
		t.row("process", "none")
	} else {
		t.row("process", "%d", *s.Process)
	}
	if s.Contents != nil {
		t.addTrouble()
	}
	if s.HoldOff != nil {
		t.row("logins", "%d failed in a row, the last: %s", s.HoldOff.Refused, s.HoldOff.Reason)
	}
	if s.Shared != nil {
		for _, row := range s.Shared.Rows(s.at) {
			t.row(row.Title, "%s", row.Text)
		}
	}
	t.row("state", "%s", s.State)
	return t.table.Flush()
}

// addContents adds the rows about what the ledger says.
func (t statusTable) addContents(withSparkline bool) {
	t.addBans(withSparkline)
	if t.Files != nil {
		t.addFiles()
	}
	if t.Enforce != "blacklist" {
		t.addRule()
	}
	t.row("last flush", "%s", t.ago(t.LastFlush))
	t.row("last re-assert", "%s", t.ago(t.LastReassert))
	if l := t.LocalAPI; l != nil && l.UnreadSince == nil {
		t.row("Local API", "read %s", t.ago(l.LastRead))
	} else if l != nil {
		t.row("Local API", "not read for %s: %s", t.since(*l.UnreadSince), l.Error)
	}
}

// addTrouble adds the row about the last error or the warning.
func (t statusTable) addTrouble() {
	if t.Trouble != nil && t.Trouble.Warning {
		t.row("warning", "%s, for %s: %s", t.ago(&t.Trouble.Last), t.since(t.Trouble.Since), t.Trouble.Text)
	} else if t.Trouble != nil {
		t.row("last error", "%s, %d in a row: %s", t.ago(&t.Trouble.Last), t.Trouble.Count, t.Trouble.Text)
	}
}

// printAgain prints one of several looks, or why it failed. A terminal shows only the last look. Elsewhere each one has its time.
func (s status) printAgain(out output, asJSON bool, failed error) error {
	isScreen := isScreen(out.stdout) && !asJSON
	if isScreen {
		fmt.Fprint(out.stdout, "\x1b[H\x1b[2J") // the cursor to the top; no text
	}
	at := s.at.Local().Format(time.DateTime)
	if failed != nil {
		_, err := fmt.Fprintf(out.stderr, "%s Error: %v\n", at, failed)
		return err
	}
	if asJSON {
		return out.printJSONLine(s)
	}
	fmt.Fprint(out.stdout, at, " ")
	err := s.print(out.stdout)
	if err == nil && !isScreen {
		_, err = fmt.Fprintln(out.stdout)
	}
	return err
}

// addBans adds the rows about bans.
func (t statusTable) addBans(withSparkline bool) {
	inForce := fmt.Sprint(t.InForce)
	if t.InForceByClass[ban.Local] < t.InForce {
		inForce += " (" + t.InForceByClass.String() + ")"
	}
	if t.NextEnd != nil {
		inForce += ", the next ends in " + health.FormatDuration(t.NextEnd.Sub(t.at))
	}
	t.row("bans in force", "%s", inForce)
	if withSparkline && len(t.History) > 0 {
		t.row("last 24 hours", "%s", sparkline(t.History, t.at))
	}
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
func (t statusTable) addFiles() {
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

func (t statusTable) since(began time.Time) string { return health.FormatDuration(t.at.Sub(began)) }

func (t statusTable) ago(at *time.Time) string {
	if at == nil {
		return "not yet"
	}
	return t.since(*at) + " ago"
}
