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
		Short: "Have the appliance told now, whatever the rhythm",
		Long: `Asks the plugin to tell the appliance at once what it is owed, and to block
everything in force anew: after an error that was mended, or after somebody
emptied the blacklist. It waits for that flush and says how it went. While no
plugin runs, this command does it itself.

A login that was refused is not tried again before its hold-off has passed.

With --json: host, in_force, to_block, to_unblock (numbers: how it stands now).`,
		Example: "  crowdsec-stormshield flush",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, books, err := which.open(cmd)
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
			return told(cmd, d, books, began, asJSON)
		},
	}
	which.flags(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

// flush has the appliance told, by the plugin if it runs.
func flush(cmd *cobra.Command, d config.Document, books *ledger.Ledger) error {
	ctx := cmd.Context()
	if d.DryRun {
		return errors.New("dry_run is set in the configuration: nothing would be sent")
	}
	if err := readSecrets(&d); err != nil {
		return err
	}
	keep := logins{books, plugin.Credentials(d), d.Stormshield}
	if err := keep.allowed(ctx); err != nil {
		return err
	}
	before, err := books.Status(ctx, time.Now())
	if err != nil {
		return err
	}
	if before.InForce+before.ToUnblock == 0 {
		return nil
	}
	lease, err := ledger.TryLease(plugin.StateOf(d).Lease)
	if err != nil {
		return err
	}
	progress := showProgress(cmd.ErrOrStderr())
	if lease != nil {
		defer func() { _ = lease.Release() }()
		err = plugin.FlushOnce(ctx, d, plugin.Options{Log: hclog.NewNullLogger(), Connect: connectTelling(progress.doing)})
		err = errors.Join(err, keep.allowed(ctx)) // a login that was refused is no error of a flush
	} else {
		progress.doing("waiting for the plugin's flush")
		err = ask(ctx, books, keep)
	}
	progress.end()
	return err
}

// toldAppliance is how it stands after a flush, for programs.
type toldAppliance struct {
	Host      string `json:"host"`
	InForce   int    `json:"in_force"`
	ToBlock   int    `json:"to_block"`
	ToUnblock int    `json:"to_unblock"`
}

// told says how it stands. What the flush met though it came to its end, such as
// a ban that the appliance did not take, is an error.
func told(cmd *cobra.Command, d config.Document, books *ledger.Ledger, began time.Time, asJSON bool) error {
	s, err := books.Status(cmd.Context(), time.Now())
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	switch {
	case asJSON:
		err = printJSON(out, toldAppliance{d.Stormshield.Host, s.InForce, s.ToBlock, s.ToUnblock})
	case s.InForce+s.ToUnblock == 0:
		_, err = fmt.Fprintln(out, "no ban is in force, and nothing is pending")
	default:
		_, err = fmt.Fprintf(out, "the appliance at %s was told: %s in force, %d still to block, %d still to unblock\n",
			d.Stormshield.Host, count(s.InForce, "ban", "bans"), s.ToBlock, s.ToUnblock)
	}
	if err == nil && s.Trouble.Last.After(began) {
		if !s.Trouble.Warning {
			return errors.New(s.Trouble.Text)
		}
		_, err = fmt.Fprintln(cmd.ErrOrStderr(), "warning:", s.Trouble.Text)
	}
	return err
}

// ask asks the plugin for a flush, and waits for how it went.
func ask(ctx context.Context, books *ledger.Ledger, keep logins) error {
	ctx, cancel := context.WithTimeoutCause(ctx, flushPatience,
		fmt.Errorf("the plugin has not finished a flush for %s (hint: see `status`, and CrowdSec's log)", span(flushPatience)))
	defer cancel()
	request, err := books.Ask(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(flushLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		s, err := books.Status(ctx, time.Now())
		switch {
		case err != nil:
			return err
		case s.Answered >= request, s.InForce+s.ToUnblock == 0: // all may have ended meanwhile
			return nil
		case s.Trouble.Request >= request:
			return errors.New("the plugin's flush failed: " + s.Trouble.Text)
		}
		if err := keep.allowed(ctx); err != nil {
			return err
		}
	}
}
