package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/serverd"
)

type cleanupOptions struct {
	selection
}

func cleanupCommand() command {
	var o cleanupOptions
	return command{
		usage:   "cleanup [-c FILE] [-n NAME]",
		summary: "Remove everything that this plugin made from the appliance",
		help: `Removes from the appliance what this plugin, or the older Python component, made:
the filter rule, the entries of the blacklist, both groups, and the objects. Every
other byte of the appliance's files stays as it is.

The command removes the rule as 'rule remove --yes' does: never while an
administrator holds the configuration right, and never if edits of others would
become active too. A group that a filter rule still names stays without members.
Without credentials for SSH the command unblocks the entries that the state lists,
one by one, and leaves the files.

Stop CrowdSec first, or remove the notification from profiles.yaml and the
notifications folder: this command refuses while the plugin runs, also on another
machine that shares the state. When the plugin starts again, it blocks the bans
that are still in force.

With --json: host, rules, unblocked, objects (numbers), kept (a list of texts: objects
and groups that stay because others use them; ten objects at most, then how many
more).`,
		example: "  systemctl stop crowdsec\n  crowdsec-stormshield cleanup",
		bind:    o.bind,
		run:     func(ctx context.Context, _ []string, out output) error { return runCleanup(ctx, o, out) },
	}
}

func runCleanup(ctx context.Context, o cleanupOptions, out output) error {
	d, err := o.load(config.Load)
	if err != nil {
		return err
	}
	state, err := openState(ctx, d, plugin.State.Open)
	unreadable := errors.Is(err, ledger.ErrUnreadable)
	if unreadable && !d.Stormshield.UsesSSH() {
		return fmt.Errorf("%w; without SSH only the state says what is blocked (hint: each entry ends by itself, at the latest after %s (blacklist_timeout))",
			err, health.FormatDuration(d.Stormshield.BlacklistTimeout))
	}
	if unreadable {
		out.warn("only what the appliance's own files list is removed: %v", err)
	} else if err != nil {
		return err
	}
	if state != nil {
		defer state.Close()
	}
	own, oldGroups, err := stateOfTarget(ctx, d, state)
	if err != nil {
		return err
	}
	if own != nil || unreadable {
		held, err := holdLease(ctx, d, own, "would block everything again")
		if err != nil {
			return err
		}
		defer held.Release(context.WithoutCancel(ctx))
		var cancel context.CancelFunc
		ctx, cancel = held.WithLease(ctx)
		defer cancel()
	}
	var known []netip.Prefix
	if own != nil {
		if known, err = own.OnAppliance(ctx); err != nil {
			return err
		}
	}
	cleaned, err := cleanAppliance(ctx, d, known, oldGroups, out)
	if err != nil {
		return withCause(ctx, err)
	}
	if own != nil {
		if err := own.RecordCleanup(ctx, time.Now()); err != nil {
			return err
		}
	}
	return printCleaned(cleaned, d.Stormshield.Host, o.json, out)
}

// cleaned is the result of a cleanup.
type cleaned struct {
	stormshield.Cleaned
	rules int // how many filter rules the cleanup removed
}

// removeRules removes the filter rules of a configuration, and returns how many it removed. If the account may not read the policies and
// enforce uses no rule, there is none to remove.
func removeRules(ctx context.Context, d config.Document, c stormshield.Config) (int, error) {
	c.Progress("looking for filter rules")
	session, err := stormshield.New(c).DialAPI(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = session.Close(context.WithoutCancel(ctx)) }()
	change, err := filter.Remove(ctx, session, wantedRules(d))
	if (serverd.IsRefused(err) || serverd.IsForbidden(err)) && !d.Stormshield.UsesRule() {
		return 0, nil
	}
	if err != nil || change.IsEmpty() {
		return 0, err
	}
	rules := len(filter.Of(change.Policy.Copy, d.Stormshield.Rule.Name))
	if err := change.Apply(ctx, session, filter.Options{Progress: c.Progress}); err != nil {
		return 0, err
	}
	return rules, nil
}

// cleanAppliance removes the filter rules, the known entries, our groups and the old groups from the appliance.
func cleanAppliance(ctx context.Context, d config.Document, known []netip.Prefix, oldGroups []string, out output) (cleaned, error) {
	holdOff, err := prepareLogin(&d)
	if err != nil {
		return cleaned{}, err
	}
	progress := showProgress(out.stderr)
	c := clientConfig(d)
	c.Progress = progress.show
	rules, failed := removeRules(ctx, d, c)
	var login *appliance.LoginError
	if errors.As(failed, &login) {
		progress.end()
		return cleaned{}, errors.Join(holdOff.record(failed), failed)
	}
	done, err := stormshield.New(c).Cleanup(ctx, known, oldGroups...)
	progress.end()
	cleaned := cleaned{Cleaned: done, rules: rules}
	if failed != nil {
		cleaned.Kept = append([]string{"the filter rule: " + failed.Error()}, cleaned.Kept...)
	}
	failed = err
	if err := holdOff.record(failed); err != nil {
		return cleaned, err
	}
	if failed != nil {
		return cleaned, fmt.Errorf("clean up the appliance at %s: %w (hint: run this again, which removes the rest)", d.Stormshield.Host, failed)
	}
	return cleaned, nil
}

// cleanupResult is the result of a cleanup, as JSON.
type cleanupResult struct {
	Host      string   `json:"host"`
	Rules     int      `json:"rules"`
	Unblocked int      `json:"unblocked"`
	Objects   int      `json:"objects"`
	Kept      []string `json:"kept"`
}

func printCleaned(cleaned cleaned, host string, asJSON bool, out output) error {
	if asJSON {
		return out.printJSON(cleanupResult{host, cleaned.rules, cleaned.Unblocked, cleaned.Objects, append([]string{}, cleaned.Kept...)})
	}
	if cleaned.rules > 0 {
		fmt.Fprintf(out.stdout, "%s: %s removed\n", host, health.FormatCount(cleaned.rules, "filter rule", "filter rules"))
	}
	groups := "no group"
	if len(cleaned.Groups) == 1 {
		groups = "the group " + cleaned.Groups[0]
	} else if len(cleaned.Groups) > 1 {
		groups = "the groups " + strings.Join(cleaned.Groups, " and ")
	}
	fmt.Fprintf(out.stdout, "%s: %s unblocked, %s and %s removed\n", host,
		health.FormatCount(cleaned.Unblocked, "entry", "entries"), health.FormatCount(cleaned.Objects, "object", "objects"), groups)
	for _, kept := range cleaned.Kept {
		fmt.Fprintf(out.stdout, "kept %s\n", kept)
	}
	return nil
}

// withCause adds to an error why the context ended, such as a lost lease.
func withCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// holdLease takes the lease, so that no plugin acts meanwhile. If a plugin holds it, the error says what that one would do.
func holdLease(ctx context.Context, d config.Document, state *ledger.Ledger, consequence string) (*plugin.Hold, error) {
	held, holder, err := plugin.TryHold(ctx, d, state)
	if err == nil && held == nil {
		hint := "stop CrowdSec first"
		if d.SharesState() {
			hint = "stop CrowdSec on each machine first"
		}
		err = fmt.Errorf("%s is running and %s (hint: %s)", holder, consequence, hint)
	}
	return held, err
}
