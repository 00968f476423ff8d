package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/stormshield/acceptance"
)

func checkCommand() *cobra.Command {
	var which selection
	var c checking
	cmd := &cobra.Command{
		Use:   "check [-c FILE] [-n NAME] [--write]",
		Short: "Try the configuration on the appliance",
		Long: `Validates the file, then tries on the appliance what the plugin rests on: the
logins, the shell and its tools, the files, the rights. It blocks nothing and
changes no file. Each login is tried once at most. Before that it compares the
document with those in the other files of the folder: two documents must not
have the same name, nor write the same group on the same appliance. It also says
which values CrowdSec changes on the way to the plugin, and whether profiles.yaml
names the notification where decisions block.

With --write it goes on, for some seconds: it blocks addresses for documentation
(198.51.100.240/28, 2001:db8::c5ec), writes objects and groups of their own into
the files, looks what the appliance makes of them, and takes everything off
again. CrowdSec may run meanwhile; a flush of that moment may be tried again a
second later. What is printed then is a report to paste into a bug report: there
is no secret in it and no address of yours.

Each line is ok; or DIFFERS: not as assumed, and the plugin works all the same;
or WRONG, with what to do; or not tried, because something else stood in the way.

With --json: name, host (not with --write), version, commit, time, well (nothing
is wrong), findings (a list of: subject, assumed, verdict (ok, DIFFERS, WRONG,
not tried), and of detail, problem and hint what there is).`,
		Example: "  crowdsec-stormshield check\n  crowdsec-stormshield check --write > report.txt",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := which.load(config.Load)
			if err != nil {
				return err
			}
			warnOfReaders(cmd.ErrOrStderr(), which.file)
			if err := checkFolder(cmd.ErrOrStderr(), which.file, d); err != nil {
				return err
			}
			c.besides = c.lookAtFiles(which.file, d)
			return c.run(cmd, d)
		},
	}
	which.flags(cmd)
	cmd.Flags().BoolVar(&c.write, "write", false, "also block and write, and take it off again; print a report")
	cmd.Flags().StringVar(&c.crowdsec, "crowdsec", usualCrowdSec, "CrowdSec's configuration `file`")
	cmd.Flags().BoolVar(&c.unnamed, "unnamed", false, "no profile names the notification yet") // setup uses it
	_ = cmd.Flags().MarkHidden("unnamed")                                                      // the flag exists
	addJSON(cmd, &c.json)
	return cmd
}

// checking is how to check.
type checking struct {
	write, json bool
	crowdsec    string // CrowdSec's config.yaml
	unnamed     bool   // setup has not named the notification in a profile yet
	// besides are the findings about CrowdSec's own files.
	besides []acceptance.Finding
}

func (c checking) run(cmd *cobra.Command, d config.Document) error {
	if err := readSecrets(&d); err != nil {
		return err
	}
	keep := loginsOf(d)
	err := keep.allowed()
	if err != nil {
		return err
	}
	findings := c.look(cmd, d)
	if err := keep.record(acceptance.FirstFault(findings)); err != nil {
		return err
	}
	hintAtReferences(findings, d.References)
	findings = append(findings, c.besides...)
	fault := acceptance.FirstFault(findings)
	r := reportOf(d, findings)
	if c.write {
		r.forPublic(d.Stormshield.Host, d.LAPI.Host())
	}
	if c.json {
		err = printJSON(cmd.OutOrStdout(), r)
	} else {
		err = r.print(cmd.OutOrStdout())
	}
	if err == nil && fault != nil {
		err = errors.New("the set-up does not work as it is; see above")
	}
	return err
}

// look tries the appliance.
func (c checking) look(cmd *cobra.Command, d config.Document) []acceptance.Finding {
	progress := showProgress(cmd.ErrOrStderr())
	defer progress.end()
	described := describe(d)
	described.Progress = progress.doing
	check := acceptance.Check
	if c.write {
		check = acceptance.CheckAndWrite
	}
	findings := check(cmd.Context(), described)
	if d.LAPI.Followed() {
		progress.doing("asking the Local API")
		findings = append(findings, lookAtLocalAPI(cmd.Context(), d))
	}
	return findings
}

// lookAtLocalAPI tries the key for CrowdSec's Local API.
func lookAtLocalAPI(ctx context.Context, d config.Document) acceptance.Finding {
	f := acceptance.Finding{Subject: "Local API", Assumed: "CrowdSec takes the key or certificate under lapi", Detail: "it does"}
	client, err := plugin.LocalAPI(d, version)
	if err == nil {
		err = client.Ping(ctx)
	}
	if err != nil {
		f.Verdict, f.Detail, f.Err = acceptance.Wrong, "", err
		f.Hint = "see lapi in the configuration; `cscli bouncers add stormshield` prints a key"
	}
	return f
}

// report is what `check` found.
type report struct {
	Name     string    `json:"name"`
	Host     string    `json:"host,omitempty"` // "" for the public
	Version  string    `json:"version"`
	Commit   string    `json:"commit"`
	Time     time.Time `json:"time"`
	Well     bool      `json:"well"`
	Findings []finding `json:"findings"`
}

// finding is one line of it.
type finding struct {
	Subject string `json:"subject"`
	Assumed string `json:"assumed"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail,omitempty"`
	Problem string `json:"problem,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

func reportOf(d config.Document, findings []acceptance.Finding) report {
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

// forPublic takes out where the appliance and the Local API are.
func (r *report) forPublic(hosts ...string) {
	r.Host = ""
	for i := range r.Findings {
		f := &r.Findings[i]
		for _, text := range []*string{&f.Detail, &f.Problem, &f.Hint} {
			for _, host := range hosts {
				*text = withoutPlaces(*text, host)
			}
		}
	}
}

// print prints it for people.
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
		row(colourOf(f.Verdict), f.Verdict, f.Subject, f.Detail+f.Problem)
		if f.Verdict != acceptance.Holds.String() {
			row(faint, "", "", "assumed: "+f.Assumed)
		}
		if f.Hint != "" {
			row(faint, "", "", "hint: "+f.Hint)
		}
	}
	_, err := fmt.Fprintf(out, "\n%s\n", r.sum())
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

// sum says in a line how many are what.
func (r report) sum() string {
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

// warnOfReaders warns of a configuration file that others than its owner can
// read: it holds passwords. CrowdSec, which is root, reads it all the same.
func warnOfReaders(out io.Writer, file string) {
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(out, "warning: others than its owner can read %s (%s), which holds passwords (hint: chmod 600 %[1]s)\n", file, info.Mode())
	}
}
