package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

type bansRemoveOptions struct {
	selection
	prefix string
}

func bansRemoveCommand() command {
	var o bansRemoveOptions
	return command{
		usage:   "remove [-c FILE] [-n NAME] PREFIX",
		summary: "End a ban before its time",
		help: `Ends the ban of an address or a range. The plugin unblocks it with its next
flush. If a range is banned in parts, around addresses that are never blocked, all
its parts end. Other bans inside the range stay.

The ban ends on the appliance alone, and only a new decision bans the address
again. CrowdSec keeps its own decision, and its other bouncers go on blocking. To
end both, use cscli decisions delete as well; with lapi, that alone is enough.

With --json: prefix, removed (true), parts (a list of prefixes) if it was banned
in parts, and cscli (with lapi, the command that deletes CrowdSec's decision).`,
		example:   "  crowdsec-stormshield bans remove 203.0.113.7",
		arguments: 1,
		bind:      o.bind,
		run: func(ctx context.Context, arguments []string, out output) error {
			if len(arguments) == 0 {
				return usageError{errors.New("name the ban to end: one address or range, as `bans` lists it")}
			}
			o.prefix = arguments[0]
			return runBansRemove(ctx, o, out)
		},
	}
}

func runBansRemove(ctx context.Context, o bansRemoveOptions, out output) error {
	prefix, err := parsePrefix(o.prefix)
	if err != nil {
		return err
	}
	d, state, err := o.open(ctx, plugin.State.Open)
	if err != nil {
		return err
	}
	defer state.Close()
	if err := checkTarget(ctx, d, state); err != nil {
		return err
	}
	removed, err := removeBan(ctx, d, state, prefix, time.Now())
	if err != nil {
		return err
	}
	if o.json {
		return out.printJSON(removed)
	}
	return removed.print(out.stdout)
}

// removedBan is a ban that was ended before its time, as JSON.
type removedBan struct {
	Prefix  netip.Prefix   `json:"prefix"`
	Removed bool           `json:"removed"`
	Parts   []netip.Prefix `json:"parts,omitempty"`
	CSCLI   string         `json:"cscli,omitempty"`
}

func (r removedBan) print(out io.Writer) error {
	parts := ""
	if len(r.Parts) > 0 {
		parts = fmt.Sprintf(" (%s, around addresses that are never blocked)", health.FormatCount(len(r.Parts), "part", "parts"))
	}
	_, err := fmt.Fprintf(out, "the ban of %s%s has ended; the next flush unblocks it\n", formatPrefix(r.Prefix), parts)
	if err == nil && r.CSCLI != "" {
		_, err = fmt.Fprintf(out, "CrowdSec itself still has the decision; to delete it there:\n  %s\n", r.CSCLI)
	}
	return err
}

// removeBan ends the ban of a prefix, with its parts.
func removeBan(ctx context.Context, d config.Document, state *ledger.Ledger, prefix netip.Prefix, now time.Time) (removedBan, error) {
	lifted, err := state.Lift(ctx, prefix, now, d.Decisions.MaxBans)
	if err != nil {
		return removedBan{}, err
	}
	if len(lifted) == 0 {
		return removedBan{}, noSuchBan(ctx, state, prefix, now)
	}
	r := removedBan{Prefix: prefix, Removed: true}
	for _, p := range lifted {
		if p != prefix {
			r.Parts = append(r.Parts, p)
		}
	}
	if d.LAPI.Followed() {
		r.CSCLI = "cscli decisions delete --range " + prefix.String()
		if prefix.IsSingleIP() {
			r.CSCLI = "cscli decisions delete --ip " + prefix.Addr().String()
		}
	}
	return r, nil
}

// noSuchBan returns an error, with a hint if other bans overlap the prefix.
func noSuchBan(ctx context.Context, state *ledger.Ledger, prefix netip.Prefix, now time.Time) error {
	overlapping, err := listBans(ctx, state, prefix.Overlaps, now)
	if err != nil {
		return err
	}
	err = fmt.Errorf("no ban of %s is in force", formatPrefix(prefix))
	if len(overlapping) > 0 {
		err = fmt.Errorf("%w (hint: `bans %s` lists %s; end each by its own prefix)",
			err, formatPrefix(prefix), health.FormatCount(len(overlapping), "ban that covers it or lies inside it", "bans that cover it or lie inside it"))
	}
	return err
}
