package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

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

It ends here alone: CrowdSec's own decision stays, and a new alert, or a full
reading of the Local API, bans the address again. To end both, use cscli
decisions delete; with lapi that is enough.

With --json: prefix, removed (true), and parts (a list of prefixes) if it was
banned in parts.`,
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
			d, books, err := which.open(cmd)
			if err != nil {
				return err
			}
			defer books.Close()
			if err := here(cmd.Context(), d, books); err != nil {
				return err
			}
			removed, err := removeBan(cmd.Context(), books, prefix, d.Filter(), time.Now())
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
}

func (r removedBan) print(cmd *cobra.Command) error {
	parts := ""
	if len(r.Parts) > 0 {
		parts = fmt.Sprintf(" (%s, around addresses that are never blocked)", count(len(r.Parts), "part", "parts"))
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "the ban of %s%s has ended; the next flush unblocks it\n", shownPrefix(r.Prefix), parts)
	return err
}

// removeBan ends the ban of a prefix, with its parts.
func removeBan(ctx context.Context, books *ledger.Ledger, prefix netip.Prefix, filter ban.Filter, now time.Time) (removedBan, error) {
	near, err := inForce(ctx, books, prefix.Overlaps, now)
	if err != nil {
		return removedBan{}, err
	}
	r := removedBan{Prefix: prefix, Removed: true, Parts: partsOf(prefix, near, filter)}
	ended, err := books.End(ctx, append([]netip.Prefix{prefix}, r.Parts...), now)
	switch {
	case err != nil:
		return removedBan{}, err
	case ended == 0 && len(near) == 0:
		return removedBan{}, fmt.Errorf("no ban of %s is in force", shownPrefix(prefix))
	case ended == 0:
		return removedBan{}, fmt.Errorf("no ban of %s is in force (hint: `bans %[1]s` lists %s; end each by its own prefix)",
			shownPrefix(prefix), count(len(near), "ban that covers it or lies inside it", "bans that cover it or lie inside it"))
	}
	return r, nil
}

// partsOf returns the bans into which the ban of a range was split around addresses
// that are never blocked. The ledger does not record that, and never-block may have
// changed since. But the parts of one decision have the same end, origin and
// scenario. No two parts are the halves of a range, which would be one part. And
// together they cover most of the range that may be blocked. A ban of another
// decision and the single addresses of a list do not fulfil this.
func partsOf(whole netip.Prefix, bans []standing, filter ban.Filter) (parts []netip.Prefix) {
	type decision struct {
		until            int64
		origin, scenario string
	}
	alike := map[decision][]netip.Prefix{}
	for _, b := range bans {
		if b.Prefix.Bits() > whole.Bits() {
			d := decision{b.Until.UnixMilli(), b.Origin, b.Scenario}
			alike[d] = append(alike[d], b.Prefix)
		}
	}
	most := 0.5
	if admitted, err := filter.Admit(whole); err == nil {
		most = shareOf(whole, admitted) / 2
	}
	for _, prefixes := range alike {
		if prefixes = outermost(prefixes); !hasHalves(prefixes) && shareOf(whole, prefixes) > most {
			parts = append(parts, prefixes...)
		}
	}
	return parts
}

// outermost leaves out prefixes that lie inside another one.
func outermost(prefixes []netip.Prefix) (kept []netip.Prefix) {
	all := map[netip.Prefix]bool{}
	for _, p := range prefixes {
		all[p] = true
	}
	for _, p := range prefixes {
		inside := false
		for bits := p.Bits() - 1; bits >= 0 && !inside; bits-- {
			inside = all[netip.PrefixFrom(p.Addr(), bits).Masked()]
		}
		if !inside {
			kept = append(kept, p)
		}
	}
	return kept
}

// hasHalves reports whether two of the prefixes are the halves of a range.
func hasHalves(prefixes []netip.Prefix) bool {
	ranges := map[netip.Prefix]bool{}
	for _, p := range prefixes {
		both := netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
		if ranges[both] {
			return true
		}
		ranges[both] = true
	}
	return false
}

// shareOf returns the share of a range that the prefixes inside it cover, from 0 to 1.
func shareOf(whole netip.Prefix, prefixes []netip.Prefix) (share float64) {
	for _, p := range prefixes {
		share += math.Ldexp(1, whole.Bits()-p.Bits())
	}
	return share
}

// prefixOf reads an address or a range from the command line by the rules for
// alerts.
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
