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
	cmd := &cobra.Command{
		Use:   "check -c FILE [-n NAME]",
		Short: "Try the configuration on the appliance",
		Long: `Validates the file, then tries on the appliance what the plugin rests on: the
logins, the shell and its tools, the files, the rights. It blocks nothing and
changes no file. Each login is tried once at most.`,
		Example: "  notification-stormshield check -c /etc/crowdsec/notifications/stormshield.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := which.load(config.Load)
			if err != nil {
				return err
			}
			warnOfReaders(cmd.ErrOrStderr(), which.file)
			return check(cmd, d)
		},
	}
	which.flags(cmd)
	return cmd
}

func check(cmd *cobra.Command, d config.Document) error {
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
	fmt.Fprintf(cmd.OutOrStdout(), "%s, the appliance at %s\n\n", d.Name, d.Stormshield.Host)
	faults := printFindings(cmd.OutOrStdout(), findings)
	if err := keep.came(ctx, stormshield.FirstFault(findings)); err != nil {
		return err
	}
	if faults > 0 {
		return errors.New("the set-up does not work as it is; see above")
	}
	fmt.Fprintln(cmd.OutOrStdout(), "\nAll is well.")
	return nil
}

// warnOfReaders warns of a configuration file that others than its owner can
// read: it holds passwords. CrowdSec, which is root, reads it all the same.
func warnOfReaders(out io.Writer, file string) {
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(out, "warning: others than its owner can read %s (%s), which holds passwords (hint: chmod 600 %[1]s)\n", file, info.Mode())
	}
}

// printFindings prints a table of what was found, and returns how many of
// them are wrong.
func printFindings(out io.Writer, findings []stormshield.Finding) (faults int) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		if f.Err == nil {
			fmt.Fprintf(table, "  ok\t%s\t%s\n", f.Subject, f.Detail)
			continue
		}
		faults++
		fmt.Fprintf(table, "  WRONG\t%s\t%v\n", f.Subject, f.Err)
		fmt.Fprintf(table, "  \t\thint: %s\n", f.Hint)
	}
	_ = table.Flush()
	return faults
}
