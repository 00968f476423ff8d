package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/stormshield"
)

func checkCommand() *cobra.Command {
	var which selection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [-c FILE] [-n NAME]",
		Short: "Try the configuration on the appliance",
		Long: `Validates the file, then tries on the appliance what the plugin rests on: the
logins, the shell and its tools, the files, the rights. It blocks nothing and
changes no file. Each login is tried once at most.

With --json: name, host, well, findings (a list of: subject, well, and either
detail, or problem and hint).`,
		Example: "  crowdsec-stormshield check",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := which.load(config.Load)
			if err != nil {
				return err
			}
			warnOfReaders(cmd.ErrOrStderr(), which.file)
			return check(cmd, d, asJSON)
		},
	}
	which.flags(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func check(cmd *cobra.Command, d config.Document, asJSON bool) error {
	ctx := cmd.Context()
	state, err := books(ctx, d, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if state != nil {
		defer state.Close()
	}
	keep := logins{state, plugin.Credentials(d)}
	if err := keep.allowed(ctx); err != nil {
		return err
	}
	findings := stormshield.New(describe(d)).Check(ctx)
	fault := stormshield.FirstFault(findings)
	if err := keep.came(ctx, fault); err != nil {
		return err
	}
	if asJSON {
		err = printJSON(cmd.OutOrStdout(), reportOf(d, findings))
	} else {
		printFindings(cmd.OutOrStdout(), d, findings)
	}
	if err == nil && fault != nil {
		err = errors.New("the set-up does not work as it is; see above")
	}
	return err
}

// report is what `check` found, for programs.
type report struct {
	Name     string    `json:"name"`
	Host     string    `json:"host"`
	Well     bool      `json:"well"`
	Findings []finding `json:"findings"`
}

// finding is one of them.
type finding struct {
	Subject string `json:"subject"`
	Well    bool   `json:"well"`
	Detail  string `json:"detail,omitempty"`
	Problem string `json:"problem,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

func reportOf(d config.Document, findings []stormshield.Finding) report {
	r := report{Name: d.Name, Host: d.Stormshield.Host, Well: stormshield.FirstFault(findings) == nil}
	for _, f := range findings {
		one := finding{Subject: f.Subject, Well: f.Err == nil, Detail: f.Detail}
		if f.Err != nil {
			one.Problem, one.Hint = f.Err.Error(), f.Hint
		}
		r.Findings = append(r.Findings, one)
	}
	return r
}

// warnOfReaders warns of a configuration file that others than its owner can
// read: it holds passwords. CrowdSec, which is root, reads it all the same.
func warnOfReaders(out io.Writer, file string) {
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(out, "warning: others than its owner can read %s (%s), which holds passwords (hint: chmod 600 %[1]s)\n", file, info.Mode())
	}
}

// printFindings prints a table of what was found.
func printFindings(out io.Writer, d config.Document, findings []stormshield.Finding) {
	fmt.Fprintf(out, "%s, the appliance at %s\n\n", d.Name, d.Stormshield.Host)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		if f.Err == nil {
			fmt.Fprintf(table, "  ok\t%s\t%s\n", f.Subject, f.Detail)
			continue
		}
		fmt.Fprintf(table, "  WRONG\t%s\t%v\n", f.Subject, f.Err)
		fmt.Fprintf(table, "  \t\thint: %s\n", f.Hint)
	}
	_ = table.Flush()
	if stormshield.FirstFault(findings) == nil {
		fmt.Fprintln(out, "\nAll is well.")
	}
}
