package health

import (
	"fmt"
	"strings"
	"time"
)

// Row is a row of a table about the health. Its text may end in a hint.
type Row struct {
	Title, Text string
	IsBad       bool
}

// Rows returns the rows about a shared state.
func (s *Shared) Rows(now time.Time) []Row {
	rows := []Row{s.databaseRow(now), {Title: "outbox", Text: "no decision waits"}}
	if s.Waiting > 0 {
		rows[1].Text = textOfWaiting(s.Waiting, s.WaitingSince, now)
	}
	if s.Machines == nil {
		does := "records"
		if s.Alone {
			does = "goes on alone"
		}
		return append(rows, Row{Title: "machine " + s.Machine, Text: "this one, " + does}, Row{Title: "other machines", Text: "not known"})
	}
	for _, m := range s.Machines {
		rows = append(rows, s.machineRow(m, now))
	}
	return rows
}

func (s *Shared) databaseRow(now time.Time) Row {
	if s.AwaySince == nil {
		return Row{Title: "database", Text: s.Place}
	}
	return Row{"database", fmt.Sprintf("%s, cannot be used for %s: %s", s.Place, FormatDuration(now.Sub(*s.AwaySince)), s.Error), true}
}

func (s *Shared) machineRow(m Machine, now time.Time) Row {
	var parts []string
	if m.Name == s.Machine {
		parts = append(parts, "this one")
	}
	switch {
	case m.Name == s.Holder:
		parts = append(parts, "enforces")
	case m.Holder:
		parts = append(parts, "enforced last")
	case !m.isUnseen(now):
		parts = append(parts, "stands by")
	}
	if m.Seen != nil {
		parts = append(parts, "last seen "+FormatDuration(now.Sub(*m.Seen))+" ago")
	}
	if m.Version != "" {
		parts = append(parts, "version "+m.Version)
	}
	if m.Waiting > 0 {
		parts = append(parts, textOfWaiting(m.Waiting, m.WaitingSince, now))
	}
	row := Row{Title: "machine " + m.Name, IsBad: m.isUnseen(now)}
	if a := m.LocalAPI; a != nil && a.UnreadSince != nil {
		row.IsBad = true
		parts = append(parts, fmt.Sprintf("its Local API not read for %s: %s", FormatDuration(now.Sub(*a.UnreadSince)), a.Error))
	}
	row.Text = strings.Join(parts, ", ")
	if m.isUnseen(now) {
		row.Text += unseenHint
	}
	return row
}

// textOfWaiting says how many decisions wait, and for how long.
func textOfWaiting(count int, since *time.Time, now time.Time) string {
	text := FormatCount(count, "decision waits", "decisions wait")
	if since != nil {
		text += ", for up to " + FormatDuration(now.Sub(*since))
	}
	return text
}
