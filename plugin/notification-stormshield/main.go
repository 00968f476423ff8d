// The binary notification-stormshield is the plugin when CrowdSec starts it,
// and a command line for administrators otherwise, then as crowdsec-stormshield.
//
// What it does as a plugin is in package plugin; here are its commands, one
// file each, and the wiring of configuration, plugin and appliance.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"notification-stormshield/plugin"
	"notification-stormshield/setup"
)

// Exit statuses.
const (
	statusDone   = 0
	statusFailed = 1
	statusUsage  = 2
)

// memoryLimit is what the garbage collector keeps the plugin's memory near, in
// bytes. Everyday life needs less than half of it; a message may have 64 MiB,
// of which gRPC holds copies.
const memoryLimit = 200 << 20

func main() {
	started, parent := time.Now(), os.Getppid()
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // the memory holds passwords
	if plugin.StartedByCrowdSec() && len(os.Args) == 1 {
		os.Exit(serve(started, parent))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// serve runs the plugin until CrowdSec ends it, and returns the exit status.
// SIGTERM keeps its default and ends the process at once, because all records are
// durable.
func serve(started time.Time, parent int) int {
	// A flush of many bans holds the text of large files for a moment. Collecting
	// garbage more often than usual costs little and keeps the process small.
	debug.SetGCPercent(20)
	debug.SetMemoryLimit(memoryLimit)
	// Made before plugin.Serve, which replaces os.Stderr.
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stderr, JSONFormat: true, IndependentLevels: true})
	out := os.Stdout // plugin.Serve replaces os.Stdout
	go func() {
		plugin.WaitForParentEnd(context.Background(), parent, out)
		os.Exit(statusDone)
	}()
	if err := plugin.Serve(plugin.New(plugin.Options{Log: log, Connect: connect, Started: started, Version: version}), log); err != nil {
		log.Error("the plugin cannot start", "error", err)
		return statusFailed
	}
	return statusDone
}

// usageError says that the command line itself is wrong.
type usageError struct{ error }

// run carries out a command line and returns the exit status.
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
		Long: `notification-stormshield is a CrowdSec notification plugin. CrowdSec starts it;
crowdsec-stormshield is the same program for you: the commands below.

Set-up: run 'setup' as root, and reload CrowdSec. By hand: print a sample with
'config', put it into CrowdSec's notifications folder, fill it in with the help
of 'trust', try it with 'check', then name it under notifications: in
profiles.yaml and reload CrowdSec.`,
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
	root.AddCommand(setupCommand(), configCommand(), trustCommand(), checkCommand(), statusCommand(), bansCommand(), flushCommand(),
		cleanupCommand(), versionCommand(), packageFactsCommand())
	return root
}

// noArguments refuses them as wrong usage.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no argument, and got %q", cmd.Name(), args[0])}
	}
	return nil
}
