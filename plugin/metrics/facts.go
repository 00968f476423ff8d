package metrics

import (
	"fmt"
	"strings"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

// verdict is the health of an appliance.
type verdict struct {
	Kind   string // the class of its style: ok, observing or bad
	Symbol string
	Word   string // working, or NOT WORKING
	note
}

// note is a text with what the administrator can do.
type note struct{ Text, Hint string }

// noteOf separates the hint at the end of an error.
func noteOf(text string) note {
	if before, hint, found := strings.Cut(text, " (hint: "); found && strings.HasSuffix(hint, ")") {
		return note{before, strings.TrimSuffix(hint, ")")}
	}
	return note{Text: text}
}

// isRead reports whether the state could be read. Otherwise the report has only a name, a host and the problem.
func isRead(r health.Report) bool { return r.Contents != nil || r.Shared != nil }

// IsRead reports whether the numbers are known. Without its database, a shared state has none.
func (v view) IsRead() bool { return v.Report.Contents != nil }

// Verdict returns the health.
func (v view) Verdict() verdict {
	word, rest, _ := strings.Cut(v.Report.Sentence(), ": ")
	switch {
	case !v.Report.Working:
		return verdict{"bad", "✕", word, noteOf(rest)}
	case v.Report.Observing:
		return verdict{"observing", "◐", word, noteOf(rest)}
	}
	return verdict{"ok", "✓", word, noteOf(rest)}
}

// Blocked is how many bans in force the appliance has acknowledged.
func (v view) Blocked() int { return v.Report.InForce - v.Report.ToBlock }

// Pending is how many bans the appliance must still block or unblock.
func (v view) Pending() int { return v.Report.ToBlock + v.Report.ToUnblock }

// Chart draws the bans in force.
func (v view) Chart(now time.Time) chart { return newChart(v, now) }

// class is a row of the table of classes.
type class struct {
	Name, Meaning    string
	InForce, Waiting int
}

// Classes returns the bans by class.
func (v view) Classes() (classes []class) {
	for _, c := range []struct {
		class   ban.Class
		meaning string
	}{
		{ban.Local, "detections and manual decisions of this CrowdSec"},
		{ban.Imported, "cscli decisions import"},
		{ban.Remote, "blocklists, the community, the console"},
	} {
		classes = append(classes, class{c.class.String(), c.meaning, v.Report.InForceByClass[c.class], v.Report.WaitingByClass[c.class]})
	}
	return classes
}

// fact is a line of the details.
type fact struct {
	Title string
	note
	Bad bool
}

// Facts returns the details. Without a process the report has none.
func (v view) Facts(now time.Time) []fact {
	r := factsOf{v.Report, now}
	if r.Process == nil || !isRead(v.Report) {
		return nil
	}
	if r.Contents == nil {
		return append([]fact{r.logins()}, append(r.shared(), r.process())...)
	}
	facts := []fact{r.pending(), r.logins()}
	if waiting := r.WaitingByClass.Total(); waiting > 0 {
		facts = append(facts, fact{Title: "Waiting", note: note{
			fmt.Sprintf("%s bans, because of max_bans (%s)", formatNumber(waiting), formatNumber(r.MaxBans)), ledger.WaitingHint,
		}})
	}
	facts = append(facts, r.localAPI())
	if r.Enforce != "blacklist" {
		facts = append(facts, r.rule())
	}
	facts = append(facts, r.files(),
		fact{Title: "Last flush", note: note{Text: r.ago(r.LastFlush)}},
		fact{Title: "Last re-assert", note: note{Text: r.ago(r.LastReassert)}})
	if r.NextEnd != nil {
		facts = append(facts, fact{Title: "Next ban ends", note: note{Text: "in " + health.FormatDuration(r.NextEnd.Sub(now))}})
	}
	return append(append(facts, r.shared()...), r.process())
}

// factsOf makes the details of a report.
type factsOf struct {
	health.Report
	now time.Time
}

func (r factsOf) since(began time.Time) string { return health.FormatDuration(r.now.Sub(began)) }

func (r factsOf) ago(at *time.Time) string {
	if at == nil {
		return "not yet"
	}
	return r.since(*at) + " ago"
}

func (r factsOf) process() fact {
	return fact{Title: "Process", note: note{Text: fmt.Sprint(*r.Process)}}
}

// shared returns the rows about a state that several machines share.
func (r factsOf) shared() (facts []fact) {
	if r.Shared == nil {
		return nil
	}
	for _, row := range r.Shared.Rows(r.now) {
		facts = append(facts, fact{strings.ToUpper(row.Title[:1]) + row.Title[1:], noteOf(row.Text), row.IsBad})
	}
	return facts
}

func (r factsOf) pending() fact {
	f := fact{Title: "Pending"}
	changes := fmt.Sprintf("%s to block, %s to unblock", formatNumber(r.ToBlock), formatNumber(r.ToUnblock))
	switch {
	case r.ToBlock+r.ToUnblock > 0 && r.PendingSince != nil:
		f.Text = changes + ", the oldest for " + r.since(*r.PendingSince)
	case r.ToBlock+r.ToUnblock > 0:
		f.Text = changes
	case r.PendingSince != nil:
		f.Text = fmt.Sprintf("a flush was cut %s ago; the next one compares the files", r.since(*r.PendingSince))
	default:
		f.Text = "nothing"
	}
	return f
}

func (r factsOf) logins() fact {
	h := r.HoldOff
	if h == nil {
		return fact{Title: "Logins", note: note{Text: "allowed"}}
	}
	return fact{"Logins", note{
		fmt.Sprintf("none is tried until %s, for %s; %d failed in a row, the last: %s",
			h.Until.In(r.now.Location()).Format("15:04:05"), health.FormatDuration(h.Until.Sub(r.now)), h.Refused, h.Reason), h.Hint,
	}, true}
}

func (r factsOf) localAPI() fact {
	switch l := r.LocalAPI; {
	case l == nil:
		return fact{Title: "Local API", note: note{Text: "not followed; bans come from alerts alone"}}
	case l.UnreadSince == nil:
		return fact{Title: "Local API", note: note{Text: "read " + r.ago(l.LastRead)}}
	default:
		n := noteOf(l.Error)
		return fact{"Local API", note{fmt.Sprintf("not read for %s: %s", r.since(*l.UnreadSince), n.Text), n.Hint}, true}
	}
}

func (r factsOf) rule() fact {
	f := fact{Title: "Filter rule", note: note{Text: "enforces beside the blacklist"}}
	switch {
	case r.Observing:
		f.Text = "only logs"
	case r.Enforce == "rule":
		f.Text = "enforces alone"
	}
	if r.RuleStaleSince != nil {
		f.Text += fmt.Sprintf("; it has lacked changes of the group for %s", r.since(*r.RuleStaleSince))
	} else {
		f.Text += "; it has all changes"
	}
	return f
}

func (r factsOf) files() fact {
	switch {
	case r.Files == nil:
		return fact{Title: "SSH", note: note{
			Text: fmt.Sprintf("not used; over the API alone: single addresses, no ranges, at most %s bans (max_bans)", formatNumber(r.MaxBans)),
		}}
	case r.HasFilesFailure():
		return fact{Title: "Files", note: note{
			Text: fmt.Sprintf("compared %s; not written for %s", r.ago(r.Files.Compared), r.since(r.Trouble.Since)),
		}, Bad: true}
	case r.Files.ToWrite > 0:
		return fact{Title: "Files", note: note{
			Text: fmt.Sprintf("compared %s; %s to write", r.ago(r.Files.Compared), formatNumber(r.Files.ToWrite)),
		}}
	}
	return fact{Title: "Files", note: note{Text: "compared " + r.ago(r.Files.Compared)}}
}

// Trouble is the last error, or the warning of the last flush.
func (v view) Trouble(now time.Time) *fact {
	t := v.Report.Trouble
	if t == nil {
		return nil
	}
	r := factsOf{v.Report, now}
	title := "Last error, " + r.ago(&t.Last)
	if t.Warning {
		title = "Warning of the last flush, " + r.ago(&t.Last)
	}
	if t.Count > 1 {
		title += fmt.Sprintf(", %d in a row for %s", t.Count, r.since(t.Since))
	}
	return &fact{title, noteOf(t.Text), !t.Warning}
}
