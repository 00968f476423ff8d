package main

import (
	"context"
	"errors"
	"time"

	"notification-stormshield/plugin"
)

type statusOptions struct {
	selection
}

func statusCommand() command {
	var o statusOptions
	return command{
		usage:   "status [-c FILE] [-n NAME]",
		summary: "Show whether bans are enforced",
		help: `Shows how many bans are in force, how many are pending and since when, when the
last flush was, which process of the plugin flushes, and the last error. It reads
the plugin's state alone, and connects to nothing. The exit status is 1 if the
first line says NOT WORKING. Bans that wait because of max_bans are no reason.

With --json: name, host, ssh (false: over the API alone), enforce (blacklist, rule
or both), observing (true: the filter rule only logs, and nothing is blocked),
rule_stale_since (since when the running filter rule lacks changes of the group; a
time, or null), max_bans, state (a path), working, problem (text; absent if
working), process (null: none runs), in_force, of_lists (bans in force of the
class lists), in_force_by_class and waiting_by_class (numbers: local, imports,
lists), to_block, to_unblock, pending_since (since when the oldest of these two is
pending, or when a flush was cut; a time, or null), next_end, last_flush,
blocked_anew (the last re-assert; times, or null), local_api (null: it is not
followed; or last_read, unread_since (times, or null), error, left_out (all bans
that wait)), trouble (null, or text, since, last, count, warning (true: all bans
are enforced), files (true: only the appliance's files failed)), files (null:
there are no credentials for SSH; or compared (when the files were last compared
with the bans in force, a time or null), to_write (bans that the files lack or no
longer need), ranges (ranges to block, which need the files)), login_hold_off
(null, or until, refused (failed logins), reason, hint).`,
		example: "  crowdsec-stormshield status",
		bind:    o.bind,
		run:     func(ctx context.Context, _ []string, out output) error { return runStatus(ctx, o, out) },
	}
}

func runStatus(ctx context.Context, o statusOptions, out output) error {
	d, state, err := o.open(ctx, plugin.State.OpenReadOnly)
	if err != nil {
		return err
	}
	defer state.Close()
	if err := readSecrets(&d); err != nil {
		return err
	}
	r, err := plugin.HealthSource(d, state).Read(ctx, time.Now())
	if err != nil {
		return err
	}
	if o.json {
		err = out.printJSON(r)
	} else {
		err = printReport(out.stdout, r, time.Now())
	}
	if err == nil && !r.Working {
		err = errors.New("the plugin does not work as it should; see the first line")
	}
	return err
}
