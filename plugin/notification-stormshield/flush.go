package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
)

const (
	// flushPatience is how long `flush` waits for the plugin: a first flush of
	// many bans over a slow link takes minutes.
	flushPatience = 10 * time.Minute
	flushLook     = 200 * time.Millisecond
)

func flushCommand() *cobra.Command {
	var which selection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "flush [-c FILE] [-n NAME]",
		Short: "Apply what is pending now, and block everything in force again",
		Long: `Asks the plugin to apply what is pending at once, and to block everything in
force again: after an error that was mended, or after somebody emptied the
blacklist. It waits for that flush and says how it went. While no plugin runs,
this command flushes itself.

A login that was refused is not tried again before its hold-off has passed.

With --json: host, in_force, to_block, to_unblock (numbers: how it stands now).`,
		Example: "  crowdsec-stormshield flush",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, books, err := which.open(cmd, plugin.State.Open)
			if err != nil {
				return err
			}
			defer books.Close()
			if err := here(cmd.Context(), d, books); err != nil {
				return err
			}
			began := time.Now()
			if err := flush(cmd, d, books); err != nil {
				return err
			}
			return printResult(cmd, d, books, began, asJSON)
		},
	}
	which.flags(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

// flush flushes the appliance: it asks the plugin, or does it itself while no plugin runs.
func flush(cmd *cobra.Command, d config.Document, books *ledger.Ledger) error {
	ctx := cmd.Context()
	if d.DryRun {
		return errors.New("dry_run is set in the configuration: nothing would be sent")
	}
	if err := readSecrets(&d); err != nil {
		return err
	}
	keep := loginsOf(d)
	if err := keep.allowed(); err != nil {
		return err
	}
	before, err := books.Status(ctx, time.Now())
	if err != nil {
		return err
	}
	if isIdle(before) {
		return nil
	}
	progress := showProgress(cmd.ErrOrStderr())
	defer progress.end()
	held, err := ask(ctx, plugin.StateOf(d).Lease, books, keep, progress)
	if held == nil {
		return err
	}
	defer func() { _ = held.Release() }()
	err = plugin.FlushOnce(ctx, d, books, plugin.Options{Log: hclog.NewNullLogger(), Connect: connectTelling(progress.doing)})
	return errors.Join(err, keep.allowed()) // a login that was refused is no error of a flush
}

// isIdle reports whether a flush has nothing to do.
func isIdle(s ledger.Status) bool { return s.InForce.Total()+s.ToUnblock == 0 && s.Pending.IsZero() }

// flushResult is what is in force and pending after a flush, as JSON.
type flushResult struct {
	Host      string `json:"host"`
	InForce   int    `json:"in_force"`
	ToBlock   int    `json:"to_block"`
	ToUnblock int    `json:"to_unblock"`
}

// printResult prints what is in force and pending after a flush, and returns an error if not all bans are enforced.
func printResult(cmd *cobra.Command, d config.Document, books *ledger.Ledger, began time.Time, asJSON bool) error {
	s, err := books.Status(cmd.Context(), time.Now())
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	switch {
	case asJSON:
		err = printJSON(out, flushResult{d.Stormshield.Host, s.InForce.Total(), s.ToBlock, s.ToUnblock})
	case isIdle(s):
		_, err = fmt.Fprintln(out, "no ban is in force, and nothing is pending")
	default:
		_, err = fmt.Fprintf(out, "flushed the appliance at %s: %s in force, %d still to block, %d still to unblock\n",
			d.Stormshield.Host, count(s.InForce.Total(), "ban", "bans"), s.ToBlock, s.ToUnblock)
	}
	if waiting := s.Waiting.Total(); err == nil && waiting > 0 {
		_, err = fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s for room: %s (hint: %s)\n", count(waiting, "ban waits", "bans wait"), s.Waiting, enforcer.WaitingHint)
	}
	if err == nil && s.Trouble.Last.After(began) {
		if !s.Trouble.Warning {
			return errors.New(s.Trouble.Text)
		}
		_, err = fmt.Fprintln(cmd.ErrOrStderr(), "warning:", s.Trouble.Text)
	}
	return err
}

// ask asks the plugin for a flush, and waits for how it went. While no process holds the lease, it takes the lease for the
// caller to flush: a process that seemed to hold it may have looked at it only, or may have ended since.
func ask(ctx context.Context, path string, books *ledger.Ledger, keep logins, progress *progress) (*lease.Lease, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, flushPatience,
		fmt.Errorf("the plugin has not finished a flush for %s (hint: see `status`, and CrowdSec's log)", span(flushPatience)))
	defer cancel()
	tick := time.NewTicker(flushLook)
	defer tick.Stop()
	for request := int64(0); ; {
		held, err := lease.Try(path)
		if held != nil || err != nil {
			return held, err
		}
		if request == 0 {
			progress.doing("waiting for the plugin's flush")
			if request, err = books.RequestFlush(ctx); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
		s, err := books.Status(ctx, time.Now())
		switch {
		case err != nil:
			return nil, err
		case s.Answered >= request, isIdle(s): // all may have ended meanwhile
			return nil, nil
		case s.Trouble.Request >= request:
			return nil, errors.New("the plugin's flush failed: " + s.Trouble.Text)
		}
		if err := keep.allowed(); err != nil {
			return nil, err
		}
	}
}
