package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/stormshield/acceptance"
)

// report is the result of check, as JSON.
type report struct {
	Name     string    `json:"name"`
	Host     string    `json:"host,omitempty"` // "": the report hides it
	Version  string    `json:"version"`
	Commit   string    `json:"commit"`
	Time     time.Time `json:"time"`
	Well     bool      `json:"well"`
	Findings []finding `json:"findings"`
}

// finding is one line of a report.
type finding struct {
	Subject string `json:"subject"`
	Assumed string `json:"assumed"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail,omitempty"`
	Problem string `json:"problem,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

func newReport(d config.Document, findings []acceptance.Finding) report {
	r := report{
		Name: d.Name, Host: d.Stormshield.Host, Version: version, Commit: commit, Time: time.Now().UTC().Truncate(time.Second),
		Well: acceptance.FirstFault(findings) == nil,
	}
	for _, f := range findings {
		one := finding{Subject: f.Subject, Assumed: f.Assumed, Verdict: f.Verdict.String(), Detail: f.Detail, Hint: f.Hint}
		if f.Err != nil {
			one.Problem = strings.ReplaceAll(f.Err.Error(), "\n", "; ")
		}
		r.Findings = append(r.Findings, one)
	}
	return r
}

// hidePlaces hides these hosts and serial numbers in the report, and every address that identifies somebody.
func (r *report) hidePlaces(hosts ...string) {
	r.Host = ""
	for i := range r.Findings {
		f := &r.Findings[i]
		for _, text := range []*string{&f.Detail, &f.Problem, &f.Hint} {
			for _, host := range hosts {
				*text = hidePlaces(*text, host)
			}
		}
	}
}

// print prints the report for people.
func (r report) print(out io.Writer) error {
	about := "a report without secrets and addresses"
	if r.Host != "" {
		about = "the appliance at " + r.Host
	}
	fmt.Fprintf(out, "%s, %s\ncrowdsec-stormshield %s (commit %s, %s/%s), %s\n\n",
		r.Name, about, r.Version, r.Commit, runtime.GOOS, runtime.GOARCH, r.Time.Format(time.RFC3339))
	width := 0
	for _, f := range r.Findings {
		width = max(width, len(f.Subject))
	}
	paint := painter(out)
	row := func(colour, verdict, subject, text string) {
		fmt.Fprintf(out, "  %s  %-*s  %s\n", paint(colour, fmt.Sprintf("%-9s", verdict)), width, subject, text)
	}
	for _, f := range r.Findings {
		first, others, _ := strings.Cut(f.Detail+f.Problem, "\n")
		row(colourOf(f.Verdict), f.Verdict, f.Subject, first)
		for line := range strings.Lines(others) {
			row(faint, "", "", strings.TrimSuffix(line, "\n"))
		}
		if f.Verdict != acceptance.Holds.String() {
			row(faint, "", "", "assumed: "+f.Assumed)
		}
		if f.Hint != "" {
			row(faint, "", "", "hint: "+f.Hint)
		}
	}
	_, err := fmt.Fprintf(out, "\n%s\n", r.summary())
	return err
}

func colourOf(verdict string) string {
	switch verdict {
	case acceptance.Holds.String():
		return green
	case acceptance.Wrong.String():
		return red
	}
	return yellow
}

// summary counts the verdicts.
func (r report) summary() string {
	count := map[string]int{}
	for _, f := range r.Findings {
		count[f.Verdict]++
	}
	if count[acceptance.Holds.String()] == len(r.Findings) {
		return fmt.Sprintf("All is well: %d of %d as assumed.", len(r.Findings), len(r.Findings))
	}
	text := fmt.Sprintf("%d of %d as assumed", count[acceptance.Holds.String()], len(r.Findings))
	for _, verdict := range []acceptance.Verdict{acceptance.Differs, acceptance.Wrong, acceptance.Untried} {
		if n := count[verdict.String()]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, verdict)
		}
	}
	return text + "."
}
