package stormshield

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// activateRule makes the running filter rule see the files, if the rule lacks a change and the flush may activate it. Without
// configured commands, the rule is taken to see the files by itself.
func (f *flush) activateRule(ctx context.Context) error {
	rule := f.config.Rule
	if !rule.Enforces || !f.done.Changed && !f.change.Stale || !f.change.Activate && len(rule.Activate) > 0 {
		return nil
	}
	if len(rule.Activate) > 0 {
		f.progress("activating the filter rule")
		if err := f.change.BeginActivation(); err != nil {
			return err
		}
	}
	if err := rule.activate(ctx, f.files.shell); err != nil {
		return err
	}
	f.done.Activated = time.Now()
	return nil
}

func (r Rule) activate(ctx context.Context, client *shell.Client) error {
	for _, command := range r.Activate {
		if _, err := client.Run(ctx, command, nil); err != nil {
			return &appliance.ActivationError{Command: command, Err: err}
		}
	}
	return nil
}

// ActivateRule runs the commands that make the running filter rule see the files.
func (a *Appliance) ActivateRule(ctx context.Context) error {
	client, err := a.DialSSH(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	a.progress("activating the filter rule")
	return a.config.Rule.activate(ctx, client)
}

// WriteGroups adds the groups that the files lack, so that a filter rule can name the group of bans. Its caller may not hold the lease.
// Then a flush at the same time can remove the working folder, and WriteGroups begins again.
func (a *Appliance) WriteGroups(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		err := a.writeGroups(ctx)
		if err == nil || attempt == maxAttempts || ctx.Err() != nil || errors.As(err, new(*appliance.LoginError)) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (a *Appliance) writeGroups(ctx context.Context) error {
	files, err := a.openFiles(ctx, edit.State{}, permitAlways)
	if err != nil {
		return err
	}
	defer files.close()
	a.progress("writing the groups")
	if err := files.read(ctx); err != nil {
		return err
	}
	patch := objects.Patch{Group: a.config.Group, DeleteGroup: a.config.DeleteGroup}
	_, err = files.replace(ctx, patch.Apply(files.text.Object, files.text.Objectgroup))
	return err
}

// finishRule ends a flush with the files where a filter rule enforces. Entries of before stay on the blacklist until a rule in force
// replaces them. A rule that only logs replaces nothing, so they go at once.
func (f *flush) finishRule(ctx context.Context) error {
	if f.config.Rule.Observing {
		if err := f.removeEntries(ctx); err != nil {
			return err
		}
	}
	if f.change.Reassert || f.change.EntriesLeft || f.keepsNamed {
		if err := f.confirmRule(ctx); err != nil {
			return err
		}
	}
	return f.removeEntries(ctx)
}

// confirmRule asks whether a filter rule in force names the group, and returns an error if none does. If the appliance refuses to answer,
// the flush goes on, unless the rule enforces alone and the account lacks the right.
func (f *flush) confirmRule(ctx context.Context) error {
	rule := f.config.Rule
	if !rule.Enforces {
		return nil
	}
	began := time.Now()
	session, err := f.monitor(ctx, false)
	if err != nil {
		return err
	}
	f.progress("looking for the filter rule")
	use, err := filter.InForce(ctx, session, f.config.Group)
	switch {
	case rule.Alone && serverd.IsForbidden(err):
		return fmt.Errorf("the plugin cannot read whether a filter rule enforces the bans: %w (hint: give the account %s the right filter_read)", err, f.config.API.Account())
	case serverd.IsRefused(err), serverd.IsForbidden(err):
		use = filter.Use{AsSource: true, AsDestination: true}
	case err != nil:
		return err
	}
	var missing string
	switch {
	case rule.AsSource && !use.AsSource:
		missing = "source"
	case rule.AsDestination && !use.AsDestination:
		missing = "destination"
	}
	if missing != "" {
		f.done.RuleMissing = true
		f.done.OldGroupsGone = false // the rule may still name one of them
		return fmt.Errorf("no filter rule in force names the group %s as %s, so the rule does not enforce the bans "+
			"(hint: run `crowdsec-stormshield rule install`; `rule show` prints what is in force)", f.config.Group, missing)
	}
	if rule.Alone {
		f.done.Confirmed = began
	}
	return nil
}

// removeEntries takes the entries of bans in force off the blacklist, where the filter rule alone enforces now. The entries stay while
// the running rule lacks a change, unless the rule only logs.
func (f *flush) removeEntries(ctx context.Context) error {
	isStale := f.done.Activated.IsZero() && (f.done.Changed || f.change.Stale)
	if !f.config.Rule.Alone || !f.change.EntriesLeft || f.done.EntriesGone || len(f.pending) > 0 || isStale && !f.config.Rule.Observing {
		return nil
	}
	if f.total > 0 {
		f.progress("unblocking the %d bans that the filter rule enforces", f.total)
		session, err := f.monitor(ctx, true)
		if err != nil {
			return err
		}
		gone := false
		if !f.isForeign(f.config.Group) {
			err = blacklist.Unblock(ctx, session, f.config.Group)
			gone = err == nil
			if err != nil && !serverd.IsRefused(err) {
				return fmt.Errorf("unblock the %d addresses of group %s: %w", f.total, f.config.Group, err)
			}
		}
		if !gone { // for example because some entries have ended
			if gone, err = f.removeEachEntry(ctx, session); err != nil {
				return err
			}
		}
		if !gone {
			f.done.Unfinished = true
			return nil
		}
	}
	f.done.EntriesGone = true
	return nil
}

// removeEachEntry unblocks the bans in force one by one, and reports whether it unblocked them all.
func (f *flush) removeEachEntry(ctx context.Context, session *serverd.Session) (gone bool, err error) {
	listed, err := blacklist.Show(ctx, session)
	if err != nil {
		return false, err
	}
	all, err := f.change.AllInForce(ctx, nil)
	if err != nil {
		return false, err
	}
	entries := slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return !listed.MayHold(p) })
	removed, err := blacklist.UnblockEach(ctx, session, entries, f.timeIsUp())
	return len(removed) == len(entries), err
}

// keepNamedGroups takes the groups that a filter rule names from the old groups to remove. A rule without its group might stop the whole
// policy.
func (f *flush) keepNamedGroups(ctx context.Context) error {
	named, err := f.namedGroups(ctx, f.change.OldGroups)
	if err != nil {
		return err
	}
	for _, group := range named {
		f.done.Kept = append(f.done.Kept, fmt.Sprintf("group %s: a filter rule names it, and keeps its bans (run `crowdsec-stormshield rule install`)", group))
	}
	f.keepsNamed = len(named) > 0
	f.change.OldGroups = slices.DeleteFunc(slices.Clone(f.change.OldGroups), func(group string) bool { return slices.Contains(named, group) })
	return nil
}
