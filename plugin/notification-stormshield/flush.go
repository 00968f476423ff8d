package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

const (
	// flushTimeout is the longest wait for the plugin. A first flush of many bans over a slow link takes minutes.
	flushTimeout      = 10 * time.Minute
	flushPollInterval = 200 * time.Millisecond
	// flushHoldInterval is how often this command tries to take the lease while it waits. Each try at a shared lease logs in to the database, and
	// a plugin that starts at this moment waits a little longer.
	flushHoldInterval = time.Second
)

type flushOptions struct {
	selection
}

func flushCommand() command {
	var o flushOptions
	return command{
		usage:   "flush [-c FILE] [-n NAME]",
		summary: "Apply what is pending now, and block everything in force again",
		help: `Asks the plugin to apply what is pending at once, and to block everything in
force again. Use it after you have corrected the cause of an error, or after
somebody emptied the blacklist. It waits for that flush and prints the result. If
no plugin runs, this command flushes itself. Without credentials for SSH it
blocks only what the appliance's list lacks. If several machines share the state,
it works from each of them: the machine that enforces flushes.

After a refused login it tries no login until the hold-off ends.

With --json: host, in_force, to_block, to_unblock (numbers after the flush).`,
		example: "  crowdsec-stormshield flush",
		bind:    o.bind,
		run:     func(ctx context.Context, _ []string, out output) error { return runFlush(ctx, o, out) },
	}
}

func runFlush(ctx context.Context, o flushOptions, out output) error {
	d, state, err := o.open(ctx, plugin.State.Open)
	if err != nil {
		return err
	}
	defer state.Close()
	if err := checkTarget(ctx, d, state); err != nil {
		return err
	}
	started := time.Now()
	s, err := flush(ctx, d, state, out)
	if err != nil {
		return err
	}
	return printFlushResult(d, s, started, o.json, out)
}

// flush asks the plugin to flush the appliance, or flushes it while no plugin runs. It returns the status after that
// flush, for the result. A status that is read again later can be that of the plugin's next flush.
func flush(ctx context.Context, d config.Document, state *ledger.Ledger, out output) (ledger.Status, error) {
	if d.DryRun {
		return ledger.Status{}, errors.New("dry_run is set in the configuration: nothing would be sent")
	}
	holdOff, err := prepareLogin(&d)
	if err != nil {
		return ledger.Status{}, err
	}
	s, err := state.Status(ctx, time.Now())
	if err != nil || isIdle(s) && !d.SharesState() { // decisions may wait on this machine for the shared state
		return s, err
	}
	progress := showProgress(out.stderr)
	defer progress.end()
	held, s, err := requestFlush(ctx, d, state, holdOff, progress)
	if held == nil {
		return s, err
	}
	defer held.Release(context.WithoutCancel(ctx))
	options := plugin.Options{Log: hclog.NewNullLogger(), Connect: connectWithProgress(progress.show), Version: version}
	if err := held.Forward(ctx, d, options); err != nil {
		return s, err
	}
	if s, err = state.Status(ctx, time.Now()); err != nil || isIdle(s) {
		return s, err
	}
	err = plugin.FlushOnce(ctx, d, state, held, options)
	if err := errors.Join(err, holdOff.check()); err != nil { // a refused login is no error of a flush
		return s, err
	}
	return state.Status(ctx, time.Now())
}

// requestFlush asks the plugin for a flush, waits for its end, and returns the status. If no process holds the lease,
// requestFlush returns the lease, and the caller flushes. It tries the lease again while it waits, because the holder may end.
// A process that only looks at the lease also seems to hold it for a moment.
func requestFlush(
	ctx context.Context, d config.Document, state *ledger.Ledger, holdOff loginHoldOff, progress *progress,
) (held *plugin.Hold, s ledger.Status, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, flushTimeout,
		fmt.Errorf("the plugin has not finished a flush for %s (hint: see `status`, and CrowdSec's log)", health.FormatDuration(flushTimeout)))
	defer cancel()
	tick := time.NewTicker(flushPollInterval)
	defer tick.Stop()
	var tried time.Time
	for request := int64(0); ; {
		if !d.SharesState() || time.Since(tried) > flushHoldInterval {
			if held, _, err = plugin.TryHold(ctx, d, state); held != nil || err != nil {
				return held, s, err
			}
			tried = time.Now()
		}
		if request == 0 {
			progress.show("waiting for the plugin's flush")
			if request, err = state.RequestFlush(ctx); err != nil {
				return nil, s, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, s, context.Cause(ctx)
		case <-tick.C:
		}
		s, err = state.Status(ctx, time.Now())
		switch {
		case err != nil:
			return nil, s, err
		case s.Answered >= request, isIdle(s): // all bans may have ended meanwhile
			return nil, s, nil
		case s.Trouble.Request >= request:
			return nil, s, errors.New("the plugin's flush failed: " + s.Trouble.Text)
		case s.Files.Request >= request:
			return nil, s, errors.New("the plugin's flush failed: " + s.Files.Text)
		}
		if err := holdOff.check(); err != nil {
			return nil, s, err
		}
	}
}

// isIdle reports whether a flush has nothing to do.
func isIdle(s ledger.Status) bool {
	return s.InForce.Total()+s.ToUnblock+s.ToWrite == 0 && s.Pending.IsZero()
}

// flushResult is the result of a flush, as JSON.
type flushResult struct {
	Host      string `json:"host"`
	InForce   int    `json:"in_force"`
	ToBlock   int    `json:"to_block"`
	ToUnblock int    `json:"to_unblock"`
}

// printFlushResult prints the status after a flush. It returns an error if not all bans are enforced.
func printFlushResult(d config.Document, s ledger.Status, started time.Time, asJSON bool, out output) (err error) {
	switch {
	case asJSON:
		err = out.printJSON(flushResult{d.Stormshield.Host, s.InForce.Total(), s.ToBlock, s.ToUnblock})
	case isIdle(s):
		_, err = fmt.Fprintln(out.stdout, "no ban is in force, and nothing is pending")
	default:
		_, err = fmt.Fprintf(out.stdout, "flushed the appliance at %s: %s in force, %d still to block, %d still to unblock\n",
			d.Stormshield.Host, health.FormatCount(s.InForce.Total(), "ban", "bans"), s.ToBlock, s.ToUnblock)
	}
	if err != nil {
		return err
	}
	if waiting := s.Waiting.Total(); waiting > 0 {
		out.warn("%s for room: %s (hint: %s)", health.FormatCount(waiting, "ban waits", "bans wait"), s.Waiting, ledger.WaitingHint)
	}
	for _, t := range []ledger.Trouble{s.Trouble, s.Files} {
		if t.Last.After(started) && !t.Warning {
			return errors.New(t.Text)
		}
		if t.Last.After(started) {
			out.warn("%s", t.Text)
		}
	}
	return nil
}
