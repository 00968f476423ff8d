package main

import (
	"context"
	"fmt"
	"net/netip"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ledger"
)

func bansCommand() *cobra.Command {
	var which selection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bans [-c FILE] [-n NAME] [ADDRESS]",
		Short: "List the bans in force, or those that cover an address",
		Long: `Lists the bans in force, the soonest to end first, from the plugin's state
alone. It changes nothing. With an address or a range, it lists the bans that cover
it or lie inside it.

With --json, a list of: prefix, until (a time), class (local, imports, lists),
origin, scenario, blocked (whether the appliance has acknowledged it), waiting
(whether it is not enforced, because of max_bans).`,
		Example: `  crowdsec-stormshield bans
  crowdsec-stormshield bans 203.0.113.7`,
		Args: atMostOne("an address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			shown := func(netip.Prefix) bool { return true }
			if len(args) > 0 {
				wanted, err := prefixOf(args[0])
				if err != nil {
					return err
				}
				shown = wanted.Overlaps
			}
			d, books, err := which.open(cmd, plugin.State.OpenReadOnly)
			if err != nil {
				return err
			}
			defer books.Close()
			problem, err := elsewhere(cmd.Context(), d, books)
			if err != nil {
				return err
			}
			bans, err := inForce(cmd.Context(), books, shown, time.Now())
			if err != nil {
				return err
			}
			if problem != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", problem)
				for i := range bans { // another appliance acknowledged them
					bans[i].Blocked = false
				}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), bans)
			}
			return printBans(cmd, bans, time.Now())
		},
	}
	which.flags(cmd)
	addJSON(cmd, &asJSON)
	cmd.AddCommand(bansRemoveCommand())
	return cmd
}

// standing is a ban in force.
type standing struct {
	Prefix   netip.Prefix `json:"prefix"`
	Until    time.Time    `json:"until"`
	Class    string       `json:"class"`
	Origin   string       `json:"origin"`
	Scenario string       `json:"scenario"`
	Blocked  bool         `json:"blocked"`
	Waiting  bool         `json:"waiting"`
}

func inForce(ctx context.Context, books *ledger.Ledger, shown func(netip.Prefix) bool, now time.Time) ([]standing, error) {
	bans := []standing{}
	err := books.EachBan(ctx, now, func(b ledger.Ban) error {
		if shown(b.Prefix) {
			bans = append(bans, standing{b.Prefix, b.Until, b.Class.String(), b.Origin, b.Scenario, b.Blocked, b.Waiting})
		}
		return nil
	})
	return bans, err
}

func printBans(cmd *cobra.Command, bans []standing, now time.Time) error {
	if len(bans) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "no such ban is in force")
		return nil
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PREFIX\tENDS IN\tBLOCKED\tORIGIN\tSCENARIO")
	for _, b := range bans {
		blocked := "yes"
		if b.Waiting {
			blocked = "waits"
		} else if !b.Blocked {
			blocked = "not yet"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", shownPrefix(b.Prefix), span(b.Until.Sub(now)), blocked, b.Origin, b.Scenario)
	}
	return table.Flush()
}

// atMostOne refuses more than one argument as wrong usage.
func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError{fmt.Errorf("%s takes %s, and got %q", cmd.Name(), what, args)}
		}
		return nil
	}
}
