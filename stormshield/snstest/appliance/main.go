// Command appliance runs a simulated Stormshield appliance by hand or for another program's tests: it prints how to
// reach it, then every change of its blacklist, until it is interrupted or its time is over.
//
// It only puts package snstest behind flags; what the appliance does is decided there.
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
	"time"

	"notification-stormshield/stormshield/snstest"
)

// settings are the flags.
type settings struct {
	options snstest.Options
	lasts   time.Duration
	control string
	ready   string
	json    bool
	faults  string // JSON of snstest.Faults
	list    bool   // print the faults, and run nothing
}

func main() {
	s, err := parseFlags(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	case s.list:
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
	var french, factory, modern, selfSigned bool
	flags := flag.NewFlagSet("appliance", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.Dir, "dir", "", "folder that stands for the disk (default: a temporary one)")
	flags.StringVar(&o.Listen, "listen", "127.0.0.1", "loopback address to listen on")
	flags.IntVar(&o.APIPort, "api-port", 0, "port of the HTTPS API (0: any)")
	flags.IntVar(&o.SSHPort, "ssh-port", 0, "port of SSH (0: any)")
	flags.StringVar(&o.LoginShell, "shell", "/bin/sh", "login shell of SSH commands, /bin/sh or /bin/csh")
	flags.StringVar(&o.User, "user", snstest.DefaultUser, "account, for SSH and the web")
	flags.StringVar(&o.Password, "password", snstest.DefaultPassword, "its password")
	flags.BoolVar(&o.NoSSH, "no-ssh", false, "serve the HTTPS API only")
	flags.BoolVar(&o.HighAvailability, "ha", false, "have a passive peer")
	flags.BoolVar(&french, "french", false, "speak French")
	flags.BoolVar(&factory, "factory", true, "factory certificate: the serial number as common name, no other name")
	flags.BoolVar(&modern, "modern", false, "certificate valid for localhost, from the appliance's own CA")
	flags.BoolVar(&selfSigned, "self-signed", false, "self-signed certificate valid for localhost")
	flags.TextVar(&o.Link, "link", snstest.Link{}, "emulate a network of this rate each way and round trip, e.g. 20mbit,20ms")
	flags.DurationVar(&o.BruteForceLock, "lock", time.Minute, "how long three failures lock web and SSH")
	flags.DurationVar(&s.lasts, "for", 0, "end after this time (0: run until interrupted)")
	flags.StringVar(&s.control, "control", "", "loopback address, e.g. 127.0.0.1:0, of plain HTTP for tests")
	flags.StringVar(&s.ready, "ready", "", "file to write the connection's facts to, as JSON, once it listens")
	flags.BoolVar(&s.json, "json", false, "print the facts as JSON instead of YAML")
	flags.StringVar(&s.faults, "faults", "", `faults from the start, as JSON, e.g. '{"NoIPv6": true}'`)
	flags.BoolVar(&s.list, "list-faults", false, "describe every fault that -faults and the control port take, and end")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(out, "appliance takes no arguments, got %q\n", flags.Args())
		return s, errors.New("usage")
	}
	if french {
		o.Language = "fr"
	}
	switch {
	case selfSigned:
		o.Certificate = snstest.SelfSigned
	case modern || !factory:
		o.Certificate = snstest.ModernCertificate
	}
	return s, nil
}

// run runs an appliance until ctx ends or its time is over.
func run(ctx context.Context, s settings, out io.Writer) (err error) {
	if s.lasts > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.lasts)
		defer cancel()
	}
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
	if err := f.print(out, s.json); err != nil {
		return err
	}
	return watch(ctx, a, out)
}
