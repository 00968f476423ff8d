package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/stormshield"
)

func cleanupCommand() *cobra.Command {
	var which selection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cleanup [-c FILE] [-n NAME]",
		Short: "Take everything this plugin made off the appliance",
		Long: `Takes off the appliance what this plugin, or the older Python component, made:
the entries of the blacklist, both groups, and the objects. Every other byte of
the appliance's files stays as it is.

Stop CrowdSec first, or take the notification out of profiles.yaml and the
notifications folder: while the plugin runs, this command refuses to. Bans that
are still in force are put back when the plugin starts again.

With --json: host, unblocked, objects (numbers), kept (a list of texts: what is
not ours alone, and stayed; ten objects at most, then how many more).`,
		Example: "  systemctl stop crowdsec\n  crowdsec-stormshield cleanup",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := which.load(config.Load)
			if err != nil {
				return err
			}
			return cleanup(cmd, d, asJSON)
		},
	}
	which.flags(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

func cleanup(cmd *cobra.Command, d config.Document, asJSON bool) error {
	ctx := cmd.Context()
	state, err := books(ctx, d, plugin.State.Open)
	unreadable := errors.Is(err, ledger.ErrUnreadable)
	if unreadable {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: only what the appliance's own files list is removed: %v\n", err)
	} else if err != nil {
		return err
	}
	if state != nil {
		defer state.Close()
	}
	var known []netip.Prefix
	own, oldGroups, err := aboutHere(ctx, d, state)
	if err != nil {
		return err
	}
	if own != nil || unreadable {
		release, err := holdLease(plugin.StateOf(d).Lease)
		if err != nil {
			return err
		}
		defer release()
	}
	if own != nil {
		if known, err = own.OnAppliance(ctx); err != nil {
			return err
		}
	}
	if err := readSecrets(&d); err != nil {
		return err
	}
	keep := loginsOf(d)
	if err := keep.allowed(); err != nil {
		return err
	}
	progress := showProgress(cmd.ErrOrStderr())
	described := describe(d)
	described.Progress = progress.doing
	cleaned, failed := stormshield.New(described).Cleanup(ctx, known, oldGroups...)
	progress.end()
	if err := keep.record(failed); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("clean up the appliance at %s: %w (hint: what is left is taken off by running this again)", d.Stormshield.Host, failed)
	}
	if own != nil {
		if err := own.RecordCleanup(ctx, time.Now()); err != nil {
			return err
		}
	}
	out := cmd.OutOrStdout()
	if asJSON {
		return printJSON(out, cleanedUp{d.Stormshield.Host, cleaned.Unblocked, cleaned.Objects, append([]string{}, cleaned.Kept...)})
	}
	fmt.Fprintf(out, "%s: %s taken off the blacklist, %s and %s removed\n", d.Stormshield.Host,
		count(cleaned.Unblocked, "entry", "entries"), count(cleaned.Objects, "object", "objects"), groupsText(cleaned.Groups))
	for _, kept := range cleaned.Kept {
		fmt.Fprintf(out, "kept %s\n", kept)
	}
	return nil
}

func groupsText(groups []string) string {
	switch len(groups) {
	case 0:
		return "no group"
	case 1:
		return "the group " + groups[0]
	}
	return "the groups " + strings.Join(groups, " and ")
}

// cleanedUp is what `cleanup` took off, for programs.
type cleanedUp struct {
	Host      string   `json:"host"`
	Unblocked int      `json:"unblocked"`
	Objects   int      `json:"objects"`
	Kept      []string `json:"kept"`
}

// holdLease keeps every plugin process from flushing for as long as a command
// works.
func holdLease(path string) (release func(), err error) {
	held, err := lease.Try(path)
	if err != nil {
		return nil, err
	}
	if held == nil {
		who := "the plugin"
		if pid, err := lease.Holder(path); err == nil && pid != 0 {
			who = fmt.Sprintf("the plugin (process %d)", pid)
		}
		return nil, fmt.Errorf("%s is running and would put everything back (hint: stop CrowdSec first)", who)
	}
	return func() { _ = held.Release() }, nil
}
