package health

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin/ledger"
)

var now = time.Unix(1_800_000_000, 0)

func ago(d time.Duration) *time.Time {
	t := now.Add(-d)
	return &t
}

// problems are reports by the sentence that they lead to, without its hint.
var problems = map[string]func(*Report, *config.Document){
	"":                              func(*Report, *config.Document) {},
	"no process of the plugin runs": func(r *Report, _ *config.Document) { r.Process = nil },
	"dry_run is set: nothing is sent to the appliance": func(_ *Report, d *config.Document) { d.DryRun = true },
	"no login is tried for 25m": func(r *Report, _ *config.Document) {
		r.HoldOff = &HoldOff{Until: now.Add(25 * time.Minute), Hint: "correct the password"}
		r.Trouble = &Trouble{Since: *ago(time.Hour)} // of which the hold-off is the reason
	},
	"flushes have failed for 1h": func(r *Report, _ *config.Document) {
		r.Trouble = &Trouble{Since: *ago(time.Hour)}
		r.ToBlock, r.PendingSince = 1, ago(time.Hour)
	},
	"the filter rule cannot be kept up to date over SSH for 1m": func(r *Report, d *config.Document) {
		d.Stormshield.Enforce = "both"
		r.Trouble = &Trouble{Files: true, Since: *ago(time.Minute)}
	},
	"the appliance's files cannot be written over SSH for 1m, and 2 ranges wait for them": func(r *Report, _ *config.Document) {
		r.Trouble, r.Files = &Trouble{Files: true, Since: *ago(time.Minute)}, &Files{Ranges: 2}
	},
	"the appliance's files cannot be written over SSH for 1m, and a flush that was cut is not repaired": func(r *Report, _ *config.Document) {
		r.Trouble, r.Files, r.PendingSince = &Trouble{Files: true, Since: *ago(time.Minute)}, &Files{}, ago(time.Hour)
	},
	"the running filter rule has lacked changes of the group Crowdsec for 1h": func(r *Report, d *config.Document) {
		d.Stormshield.Enforce, d.Stormshield.Group = "rule", "Crowdsec"
		r.RuleStaleSince = ago(time.Hour)
	},
	"a flush was cut 1h ago, and the next one has not repaired the appliance's files yet": func(r *Report, _ *config.Document) {
		r.PendingSince = ago(time.Hour)
	},
	"3 to block and 4 to unblock have been pending for up to 1h": func(r *Report, _ *config.Document) {
		r.ToBlock, r.ToUnblock, r.PendingSince = 3, 4, ago(time.Hour)
	},
	"the Local API is not followed for 5m: known bans stay enforced, new ones come from alerts alone": func(r *Report, _ *config.Document) {
		r.LocalAPI = &LocalAPI{UnreadSince: ago(5 * time.Minute)}
	},
	"the database of the shared state cannot be used for 5m: this machine goes on alone, with the bans that it knows and its own alerts, for 3h55m at most": func(r *Report, _ *config.Document) {
		r.Contents, r.Shared = nil, &Shared{AwaySince: ago(5 * time.Minute), Alone: true}
	},
	"the database of the shared state cannot be used for 5m: this machine records alerts, and does not enforce them": func(r *Report, _ *config.Document) {
		r.Contents, r.Shared = nil, &Shared{AwaySince: ago(5 * time.Minute)}
	},
	"no machine has held the shared lease for 45s": func(r *Report, _ *config.Document) {
		r.Shared = &Shared{unheldSince: *ago(45 * time.Second)}
	},
	"12 decisions have waited for the database for up to 5m": func(r *Report, _ *config.Document) {
		r.Shared = &Shared{Holder: "b", Waiting: 12, WaitingSince: ago(5 * time.Minute)}
	},
}

func TestEachReasonIsASentence(t *testing.T) {
	t.Parallel()
	pid := 1
	for want, make := range problems {
		d := config.Document{UpdateFrequency: 30 * time.Second, Stormshield: config.Stormshield{Rule: config.Rule{ActivateEvery: time.Minute}, BlacklistTimeout: 4 * time.Hour}}
		r := Report{Process: &pid, Contents: &Contents{}}
		make(&r, &d)
		got := Source{Document: d}.problem(r, now)
		sentence, hint, found := strings.Cut(got, " (hint: ")
		if sentence != want || found != strings.HasSuffix(hint, ")") || !found && want != "" && !d.DryRun {
			t.Errorf("%q\nnot %q", got, want)
		}
	}
}

func TestASituationThatPassesIsNoProblem(t *testing.T) {
	t.Parallel()
	pid := 1
	d := config.Document{UpdateFrequency: 30 * time.Second, Stormshield: config.Stormshield{Rule: config.Rule{ActivateEvery: time.Minute}}}
	for name, shared := range map[string]Shared{
		"another machine enforces":         {Machine: "a", Holder: "b"},
		"no machine enforces for a moment": {unheldSince: *ago(20 * time.Second)},
		"decisions wait for a moment":      {Holder: "b", Waiting: 12, WaitingSince: ago(20 * time.Second)},
		"a machine that stands by is away": {Holder: "a", Warning: "b was last seen 3d ago"},
	} {
		if got := (Source{Document: d}).problem(Report{Process: &pid, Contents: &Contents{}, Shared: &shared}, now); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
	for name, r := range map[string]Contents{
		"a warning":                      {Trouble: &Trouble{Warning: true, Since: *ago(time.Hour)}},
		"only the files fail":            {Trouble: &Trouble{Files: true, Since: *ago(time.Hour)}, Files: &Files{ToWrite: 7}},
		"pending for a moment":           {ToBlock: 3, PendingSince: ago(150 * time.Second)},
		"the rule lacks a recent change": {RuleStaleSince: ago(210 * time.Second)},
		"the Local API can be read":      {LocalAPI: &LocalAPI{LastRead: ago(time.Hour)}},
		"bans wait for room":             {WaitingByClass: ledger.Counts{1: 3}},
	} {
		if got := (Source{Document: d}).problem(Report{Process: &pid, Contents: &r}, now); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTheOperationsGuideExplainsEachReason(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	guide, changing := string(text), regexp.MustCompile(`\b([0-9]+[dhms])+\b|\bCrowdsec\b`)
	for sentence := range problems {
		row := "`" + regexp.MustCompile(`\b[0-9]+ `).ReplaceAllString(changing.ReplaceAllString(sentence, "…"), "N ")
		first, rest, isSecond := strings.Cut(row, ", and a flush that was cut") // a second reason of the same row
		if !strings.Contains(guide, "| "+strings.Replace(first, "`", "`NOT WORKING: ", 1)) || isSecond && !strings.Contains(guide, "`…, and a flush that was cut"+rest) {
			t.Errorf("it lacks %q", row)
		}
	}
}
