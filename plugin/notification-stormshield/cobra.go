package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"notification-stormshield/setup"
)

// Exit statuses.
const (
	statusDone   = 0
	statusFailed = 1
	statusUsage  = 2
)

// run runs a command line and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	asRoot := os.Geteuid() == 0 // a command may give root up
	err := root.ExecuteContext(ctx)
	var denied *fs.PathError
	if !asRoot && errors.As(err, &denied) && errors.Is(denied, fs.ErrPermission) {
		err = fmt.Errorf("%w (hint: run this as root)", err)
	}
	var usage usageError
	var setupUsage setup.UsageError
	switch {
	case err == nil:
		return statusDone
	case errors.As(err, &usage), errors.As(err, &setupUsage):
		fmt.Fprintf(stderr, "Error: %v\nRun '%s --help' for how to use it.\n", err, root.Name())
		return statusUsage
	}
	fmt.Fprintf(stderr, "Error: %v\n", err)
	return statusFailed
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "crowdsec-stormshield",
		Short: "Keeps CrowdSec's bans enforced on Stormshield firewalls",
		Long: `notification-stormshield is a CrowdSec notification plugin. CrowdSec starts it.
crowdsec-stormshield is the same program for you: the commands below.

To set the plugin up, run 'setup' as root, and reload CrowdSec. To do it by hand,
print a sample with 'config', save it in CrowdSec's notifications folder, fill it
in with the help of 'trust', and try it with 'check'. Then name it under
notifications: in profiles.yaml, and reload CrowdSec.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q", args[0])}
			}
			return nil
		},
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	for _, c := range commands() {
		root.AddCommand(c.cobra())
	}
	return root
}

// cobra returns the command as the library wants it.
func (c command) cobra() *cobra.Command {
	cmd := &cobra.Command{
		Use: c.usage, Short: c.summary, Long: c.help, Example: c.example, Hidden: c.hidden,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) <= c.arguments:
				return nil
			case c.arguments == 0:
				return usageError{fmt.Errorf("%s takes no argument, and got %q", cmd.Name(), args[0])}
			}
			return usageError{fmt.Errorf("%s takes one argument, and got %q", cmd.Name(), args)}
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd.Context(), args, output{cmd.OutOrStdout(), cmd.ErrOrStderr()})
		},
	}
	if c.bind != nil {
		c.bind(cmd.Flags())
	}
	for _, sub := range c.sub {
		cmd.AddCommand(sub.cobra())
	}
	return cmd
}
