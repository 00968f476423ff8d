package main

import (
	"context"
	"fmt"
	"net/netip"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"notification-stormshield/plugin/ledger"
)

func bansCommand() *cobra.Command {
	var which selection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bans [-c FILE] [-n NAME] [ADDRESS]",
		Short: "List the bans in force, or those that cover an address",
		Long: `Lists the bans in force, the soonest to end first, from the plugin's state
alone. With an address, or a range, it lists those that cover it.

With --json, a list of: prefix, until (a time), origin, scenario, blocked
(whether the appliance has acknowledged it).`,
		Example: `  crowdsec-stormshield bans
  crowdsec-stormshield bans 203.0.113.7`,
		Args: atMostOne("an address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			covers := func(netip.Prefix) bool { return true }
			if len(args) > 0 {
				wanted, err := prefixOf(args[0])
				if err != nil {
					return err
				}
				covers = func(p netip.Prefix) bool { return p.Bits() <= wanted.Bits() && p.Contains(wanted.Addr()) }
			}
			d, books, err := which.open(cmd)
			if err != nil {
				return err
			}
			defer books.Close()
			problem, err := elsewhere(cmd.Context(), d, books)
			if err != nil {
				return err
			}
			bans, err := inForce(cmd.Context(), books, covers, time.Now())
			if err != nil {
				return err
			}
			if problem != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", problem)
				for i := range bans { // by the other appliance
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
	Origin   string       `json:"origin"`
	Scenario string       `json:"scenario"`
	Blocked  bool         `json:"blocked"`
}

func inForce(ctx context.Context, books *ledger.Ledger, covers func(netip.Prefix) bool, now time.Time) ([]standing, error) {
	bans := []standing{}
	err := books.EachBan(ctx, now, func(b ledger.Ban) error {
		if covers(b.Prefix) {
			bans = append(bans, standing(b))
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
		if !b.Blocked {
			blocked = "not yet"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", shownPrefix(b.Prefix), span(b.Until.Sub(now)), blocked, b.Origin, b.Scenario)
	}
	return table.Flush()
}

func bansRemoveCommand() *cobra.Command {
	var which selection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "remove [-c FILE] [-n NAME] PREFIX",
		Short: "End a ban before its time",
		Long: `Ends the ban of an address or a range; the plugin takes it off the appliance
with its next flush. It ends here alone: CrowdSec's own decision stays, and a new
alert, or a full reading of the Local API, bans the address again. To end both,
use cscli decisions delete; with lapi that is enough.

With --json: prefix, removed (true).`,
		Example: "  crowdsec-stormshield bans remove 203.0.113.7",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("say which ban to end: one address or range, as `bans` lists it")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			prefix, err := prefixOf(args[0])
			if err != nil {
				return err
			}
			d, books, err := which.open(cmd)
			if err != nil {
				return err
			}
			defer books.Close()
			if err := here(cmd.Context(), d, books); err != nil {
				return err
			}
			ended, err := books.End(cmd.Context(), prefix, time.Now())
			if err != nil {
				return err
			}
			if !ended {
				return fmt.Errorf("no ban of %s is in force (hint: `bans` %[1]s lists those that cover it)", shownPrefix(prefix))
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), removedBan{prefix, true})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the ban of %s has ended; the appliance is told with the next flush\n", shownPrefix(prefix))
			return err
		},
	}
	which.flags(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

// removedBan is a ban that has ended before its time, for programs.
type removedBan struct {
	Prefix  netip.Prefix `json:"prefix"`
	Removed bool         `json:"removed"`
}

// prefixOf reads an address or a range from the command line.
func prefixOf(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, usageError{fmt.Errorf("%q is neither an address nor a range", text)}
	}
	return p.Masked(), nil
}

// shownPrefix writes an address without its length.
func shownPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
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
