// Command appliance runs a simulated Stormshield appliance, by hand or for the tests of another program. It prints the
// plugin's configuration for it, and then every change of its blacklist, until it is interrupted.
//
// Package snstest is the appliance. This program adds flags and a control port.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"notification-stormshield/stormshield/snstest"
)

// settings are the flags.
type settings struct {
	options    snstest.Options
	control    string
	ready      string
	faults     string // JSON of snstest.Faults
	listFaults bool
}

func main() {
	s, err := parseFlags(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	case s.listFaults:
		fmt.Print(snstest.DescribeFaults())
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "appliance:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string, out io.Writer) (settings, error) {
	var s settings
	o := &s.options
	flags := flag.NewFlagSet("appliance", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.Dir, "dir", "", "folder that stands for the disk (default: a temporary one)")
	flags.IntVar(&o.APIPort, "api-port", 0, "port of the HTTPS API (0: any)")
	flags.IntVar(&o.SSHPort, "ssh-port", 0, "port of SSH (0: any)")
	flags.BoolVar(&o.NoSSH, "no-ssh", false, "serve the HTTPS API only")
	flags.StringVar(&o.LoginShell, "shell", "/bin/sh", "login shell of SSH commands, /bin/sh or /bin/csh")
	flags.StringVar(&o.User, "user", snstest.DefaultUser, "account, for SSH and the API")
	flags.StringVar(&o.Password, "password", snstest.DefaultPassword, "its password")
	flags.Func("other-user", "one more account with the same password, for another machine (may be repeated)", func(name string) error {
		o.OtherUsers = append(o.OtherUsers, name)
		return nil
	})
	flags.StringVar(&s.faults, "faults", "", `faults from the start, as JSON, e.g. '{"NoIPv6": true}'`)
	flags.BoolVar(&s.listFaults, "list-faults", false, "describe every fault that -faults and the control port take, and end")
	flags.StringVar(&s.control, "control", "", "loopback address, e.g. 127.0.0.1:0, to serve the control port on (plain HTTP)")
	flags.StringVar(&s.ready, "ready", "", "file to write the facts of the connection to, as JSON, once the appliance listens")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(out, "appliance takes no arguments, got %q\n", flags.Args())
		return s, errors.New("usage")
	}
	return s, nil
}

// run runs an appliance until ctx ends.
func run(ctx context.Context, s settings, out io.Writer) (err error) {
	a, err := snstest.New(s.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if s.faults != "" {
		if err := setFaults(a, strings.NewReader(s.faults)); err != nil {
			return fmt.Errorf("-faults: %w", err)
		}
	}

	f := factsOf(a)
	if s.control != "" {
		c, err := startControl(s.control, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.close()) }()
		f.Control = c.url()
	}
	if s.ready != "" {
		if err := f.writeReady(s.ready); err != nil {
			return err
		}
		defer os.Remove(s.ready)
	}
	if err := f.print(out); err != nil {
		return err
	}
	return printChanges(ctx, a, out)
}
