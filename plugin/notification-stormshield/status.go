package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/health"
)

type statusOptions struct {
	selection
	watch time.Duration // 0: look once
}

func (o *statusOptions) bind(flags *pflag.FlagSet) {
	o.selection.bind(flags)
	flags.DurationVar(&o.watch, "watch", 0, "look again after each `interval`, until Ctrl-C")
	flags.Lookup("watch").NoOptDefVal = "5s"
}

func statusCommand() command {
	var o statusOptions
	return command{
		usage:   "status [-c FILE] [-n NAME] [--watch[=INTERVAL]]",
		summary: "Show whether bans are enforced",
		help: `Shows how many bans are in force, how many are pending and since when, when the
last flush was, which process of the plugin flushes, and the last error. It reads
the plugin's state alone, and connects to nothing. The exit status is 1 if the
first line says NOT WORKING. Bans that wait because of max_bans are no reason. On a
terminal a line of blocks shows the bans in force of the last 24 hours: the lowest
block is the least, the highest is the most, and a blank is half an hour without a
sample.

If several machines share the state, it shows each of them: which one enforces,
when each was last seen, and which decisions wait on this machine for the database.
It connects to the database alone. While the database cannot be used, it says since
when and why, and what this machine does meanwhile. The numbers are not known then.

With --watch it looks again every 5 seconds, or as often as you say (--watch=1m),
until Ctrl-C. The exit status is that of the last look. It reads the configuration
once. An error, such as a missing state, does not end it.

With --json: name, host, ssh (false: over the API alone), enforce (blacklist,
rule or both), observing (true: the filter rule only logs, and nothing is
blocked), rule_stale_since (since when the running filter rule lacks changes of
the group; a time, or null), max_bans, state (a path), working, problem (text;
absent if working), process (null: none runs), in_force, of_lists (bans in force
of the class lists), in_force_by_class and waiting_by_class (numbers: local,
imports, lists), decisions_recorded (since the state was made), to_block,
to_unblock, pending_since (since when the oldest of these two is pending, or
when a flush was cut; a time, or null), next_end, last_flush, blocked_anew (the
last re-assert; times, or null), local_api (null: it is not followed; or
last_read, unread_since (times, or null), error, left_out (all bans that wait)),
trouble (null, or text, since, last, count, warning (true: all bans are
enforced), files (true: only the appliance's files failed)), files (null: there
are no credentials for SSH; or compared (when the files were last compared with
the bans in force, a time or null), to_write (bans that the files lack or no
longer need), ranges (ranges to block, which need the files)), login_hold_off
(null, or until, refused (failed logins), reason, hint), shared (null: no other
machine shares the state; or place (the database), machine (the name of this one),
holder (the machine that enforces, "": none, or not known), waiting (decisions that
wait on this machine), waiting_since, away_since (since when the database cannot be
used; times, or null), error (why not), alone (true: this machine goes on without
it), warning (machines that are not seen), machines (null: not known; or a list:
name, seen (a time, or null), holder, version, waiting, waiting_since, local_api
(null, or last_read, unread_since, error))), history (a list of the
last 24 hours, one sample each 5 minutes, the oldest first: at (a time),
in_force, waiting, pending (to block and to unblock)). While the database of a
shared state cannot be used, the keys about bans, flushes and the Local API are
absent, because they are not known. With --watch it prints each look as one line.`,
		example: `  crowdsec-stormshield status
  crowdsec-stormshield status --watch`,
		bind: o.bind,
		run:  func(ctx context.Context, _ []string, out output) error { return runStatus(ctx, o, out) },
	}
}

func runStatus(ctx context.Context, o statusOptions, out output) error {
	if o.watch < 0 {
		return usageError{fmt.Errorf("--watch needs an interval above 0, and got %s", o.watch)}
	}
	d, err := o.load(config.Load)
	if err != nil {
		return err
	}
	if o.watch > 0 {
		return watchStatus(ctx, d, o, out)
	}
	s, err := readStatus(ctx, d, time.Now())
	if err != nil {
		return err
	}
	if o.json {
		err = out.printJSON(s)
	} else {
		err = s.print(out.stdout)
	}
	return errors.Join(err, s.verdict())
}

// watchStatus looks again and again until the context ends, and returns the error of the last look. It opens the state for each look,
// because the file may be missing, and a reload may replace it. It begins with the same configuration each time: after the first look
// this process may be a user who cannot read the configuration.
func watchStatus(ctx context.Context, d config.Document, o statusOptions, out output) error {
	tick := time.NewTicker(o.watch)
	defer tick.Stop()
	for {
		s, err := readStatus(context.WithoutCancel(ctx), d, time.Now()) // the last look is a whole one
		failed := s.printAgain(out, o.json, err)
		if failed != nil {
			return failed
		}
		if err == nil {
			err = s.verdict()
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// status is a look at one notification.
type status struct {
	health.Report
	History []sample `json:"history"`
	at      time.Time
}

// sample is a [ledger.Sample], as JSON.
type sample struct {
	At      time.Time `json:"at"`
	InForce int       `json:"in_force"`
	Waiting int       `json:"waiting"`
	Pending int       `json:"pending"`
}

// readStatus looks at a notification.
func readStatus(ctx context.Context, d config.Document, now time.Time) (status, error) {
	s := status{History: []sample{}, at: now}
	found, err := hasState(d)
	if err != nil {
		return s, err
	}
	if !found {
		return s, errNoState(d)
	}
	if err := readSecrets(&d); err != nil {
		return s, err
	}
	from, closeState, err := plugin.OpenHealth(ctx, d)
	if err != nil {
		return s, err
	}
	defer closeState()
	if s.Report, err = from.Read(ctx, now); err != nil || s.Contents == nil {
		return s, err
	}
	history, err := from.Ledger.History(ctx, now)
	for _, one := range history {
		one.At = one.At.UTC()
		s.History = append(s.History, sample(one))
	}
	return s, err
}

// verdict returns an error if the notification does not work.
func (s status) verdict() error {
	if s.Working {
		return nil
	}
	return errors.New("the plugin does not work as it should; see the first line")
}
