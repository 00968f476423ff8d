package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

func bansRemoveCommand() *cobra.Command {
	var which selection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "remove [-c FILE] [-n NAME] PREFIX",
		Short: "End a ban before its time",
		Long: `Ends the ban of an address or a range; the plugin takes it off the appliance
with its next flush. Of a range that is banned in parts, around what is never
blocked, it ends all parts. Other bans inside the range stay.

The ban ends on the appliance alone, and only a new decision bans the address
again. CrowdSec keeps its own decision, and its other bouncers go on blocking. To
end both, use cscli decisions delete as well; with lapi, that alone is enough.

With --json: prefix, removed (true), parts (a list of prefixes) if it was banned
in parts, and cscli (with lapi, the command that deletes CrowdSec's decision).`,
		Example: "  crowdsec-stormshield bans remove 203.0.113.7",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name the ban to end: one address or range, as `bans` lists it")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			prefix, err := prefixOf(args[0])
			if err != nil {
				return err
			}
			d, books, err := which.open(cmd, plugin.State.Open)
			if err != nil {
				return err
			}
			defer books.Close()
			if err := here(cmd.Context(), d, books); err != nil {
				return err
			}
			removed, err := removeBan(cmd.Context(), books, prefix, d, time.Now())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), removed)
			}
			return removed.print(cmd)
		},
	}
	which.flags(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

// removedBan is a ban that was ended before its time, as JSON.
type removedBan struct {
	Prefix  netip.Prefix   `json:"prefix"`
	Removed bool           `json:"removed"`
	Parts   []netip.Prefix `json:"parts,omitempty"`
	CSCLI   string         `json:"cscli,omitempty"`
}

func (r removedBan) print(cmd *cobra.Command) error {
	parts := ""
	if len(r.Parts) > 0 {
		parts = fmt.Sprintf(" (%s, around addresses that are never blocked)", count(len(r.Parts), "part", "parts"))
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "the ban of %s%s has ended; the next flush unblocks it\n", shownPrefix(r.Prefix), parts)
	if err == nil && r.CSCLI != "" {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "CrowdSec itself still has the decision; to delete it there:\n  %s\n", r.CSCLI)
	}
	return err
}

// removeBan ends the ban of a prefix, with its parts.
func removeBan(ctx context.Context, books *ledger.Ledger, prefix netip.Prefix, d config.Document, now time.Time) (removedBan, error) {
	lifted, err := books.Lift(ctx, prefix, now, d.Decisions.MaxBans)
	if err != nil {
		return removedBan{}, err
	}
	if len(lifted) == 0 {
		near, err := inForce(ctx, books, prefix.Overlaps, now)
		if err == nil {
			err = fmt.Errorf("no ban of %s is in force", shownPrefix(prefix))
		}
		if len(near) > 0 {
			err = fmt.Errorf("%w (hint: `bans %s` lists %s; end each by its own prefix)",
				err, shownPrefix(prefix), count(len(near), "ban that covers it or lies inside it", "bans that cover it or lie inside it"))
		}
		return removedBan{}, err
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

// prefixOf reads an address or a range from the command line, as those of alerts
// are read.
func prefixOf(text string) (netip.Prefix, error) {
	p, err := ban.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, usageError{fmt.Errorf("%.100q: %w", text, err)}
	}
	return p, nil
}

// shownPrefix prints a prefix; an address without its length.
func shownPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
