package main

import (
	"context"
	"fmt"
	"net/netip"
	"text/tabwriter"
	"time"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

type bansOptions struct {
	selection
	prefix netip.Prefix // the zero value: all bans
}

func bansCommand() command {
	var o bansOptions
	return command{
		usage:   "bans [-c FILE] [-n NAME] [ADDRESS]",
		summary: "List the bans in force, or those that cover an address",
		help: `Lists the bans in force, the soonest to end first, from the plugin's state
alone. It changes nothing. With an address or a range, it lists the bans that cover
it or lie inside it.

With --json, a list of: prefix, until (a time), class (local, imports, lists),
origin, scenario, blocked (whether the appliance has acknowledged it), waiting
(whether it is not enforced, because of max_bans).`,
		example: `  crowdsec-stormshield bans
  crowdsec-stormshield bans 203.0.113.7`,
		arguments: 1,
		bind:      o.bind,
		run: func(ctx context.Context, arguments []string, out output) (err error) {
			if len(arguments) > 0 {
				if o.prefix, err = parsePrefix(arguments[0]); err != nil {
					return err
				}
			}
			return runBans(ctx, o, out)
		},
		sub: []command{bansRemoveCommand()},
	}
}

func runBans(ctx context.Context, o bansOptions, out output) error {
	isListed := func(p netip.Prefix) bool { return !o.prefix.IsValid() || p.Overlaps(o.prefix) }
	d, state, err := o.open(ctx, plugin.State.OpenReadOnly)
	if err != nil {
		return err
	}
	defer state.Close()
	problem, err := targetProblem(ctx, d, state)
	if err != nil {
		return err
	}
	bans, err := listBans(ctx, state, isListed, time.Now())
	if err != nil {
		return err
	}
	if problem != "" {
		out.warn("%s", problem)
		for i := range bans { // another appliance acknowledged them
			bans[i].Blocked = false
		}
	}
	if o.json {
		return out.printJSON(bans)
	}
	return printBans(out, bans, time.Now())
}

// banInForce is a ban, as JSON.
type banInForce struct {
	Prefix   netip.Prefix `json:"prefix"`
	Until    time.Time    `json:"until"`
	Class    string       `json:"class"`
	Origin   string       `json:"origin"`
	Scenario string       `json:"scenario"`
	Blocked  bool         `json:"blocked"`
	Waiting  bool         `json:"waiting"`
}

func listBans(ctx context.Context, state *ledger.Ledger, isListed func(netip.Prefix) bool, now time.Time) ([]banInForce, error) {
	bans := []banInForce{}
	err := state.EachBan(ctx, now, func(b ledger.Ban) error {
		if isListed(b.Prefix) {
			bans = append(bans, banInForce{b.Prefix, b.Until, b.Class.String(), b.Origin, b.Scenario, b.Blocked, b.Waiting})
		}
		return nil
	})
	return bans, err
}

func printBans(out output, bans []banInForce, now time.Time) error {
	if len(bans) == 0 {
		fmt.Fprintln(out.stderr, "no such ban is in force")
		return nil
	}
	table := tabwriter.NewWriter(out.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PREFIX\tENDS IN\tBLOCKED\tORIGIN\tSCENARIO")
	for _, b := range bans {
		blocked := "yes"
		if b.Waiting {
			blocked = "waits"
		} else if !b.Blocked {
			blocked = "not yet"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", formatPrefix(b.Prefix), health.FormatDuration(b.Until.Sub(now)), blocked, b.Origin, b.Scenario)
	}
	return table.Flush()
}

// parsePrefix reads an address or a range from the command line, by the rules for alerts.
func parsePrefix(text string) (netip.Prefix, error) {
	p, err := ban.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, usageError{fmt.Errorf("%.100q: %w", text, err)}
	}
	return p, nil
}

// formatPrefix writes a prefix, and an address without its length.
func formatPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
