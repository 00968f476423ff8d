package stormshield

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
)

// Cleaned is the result of Cleanup.
type Cleaned struct {
	Unblocked int      // addresses and ranges
	Objects   int      // objects removed from the files
	Groups    []string // groups removed from the files
	Kept      []string // objects and groups that stay, with the reason; bounded
}

// Cleanup removes everything that this program or the older Python component made: entries of the blacklist, both groups, and
// the objects. Every other byte of the files stays. A group that a filter rule names stays without members, because a rule
// without its group might stop the whole policy. known are prefixes that may be on the blacklist though the files do not
// name them. oldGroups are groups of earlier configurations. Without SSH, Cleanup unblocks known and leaves the files.
func (a *Appliance) Cleanup(ctx context.Context, known []netip.Prefix, oldGroups ...string) (Cleaned, error) {
	if a.config.WithoutSSH {
		return a.cleanUpWithoutSSH(ctx, known)
	}
	whole := *a
	whole.config.OneByOneLimit = 0 // there is no next flush
	f := whole.flush(ctx, appliance.Change{
		Pending: appliance.Pending{Unblock: known}, Files: true, AllInForce: noBans, OldGroups: oldGroups,
	})
	defer f.close(ctx)
	f.progress("reading the files")
	if err := f.connectFiles(); err != nil {
		return Cleaned{}, err
	}
	if err := f.files.read(ctx); err != nil {
		return Cleaned{}, err
	}
	had, groups := count(objects.Defined(f.files.text.Object)), f.presentGroups()
	named, err := f.namedGroups(ctx, groups)
	if err != nil {
		return Cleaned{}, err
	}
	refused, err := f.unblockForeign(ctx)
	if err != nil {
		return Cleaned{}, err
	}
	f.files.forget()
	// A flush with no ban in force unblocks everything. It leaves the groups.
	if err := f.run(ctx); err != nil {
		return Cleaned{Unblocked: len(f.done.Unblocked)}, err
	}
	cleaned := Cleaned{Unblocked: len(f.done.Unblocked)}
	if err := f.removeGroups(ctx, named); err != nil {
		return cleaned, err
	}
	if len(named) > 0 {
		if err := f.config.Rule.activate(ctx, f.files.shell); err != nil {
			cleaned.Kept = append(cleaned.Kept, fmt.Sprintf("the bans in the running filter rule, until the policy is activated again: %v", err))
		}
	}
	cleaned.Objects = had - count(objects.Defined(f.files.text.Object))
	cleaned.Groups = slices.DeleteFunc(groups, func(group string) bool { return slices.Contains(f.presentGroups(), group) })
	for _, group := range named {
		cleaned.Kept = append(cleaned.Kept, fmt.Sprintf("group %s, without our members: a filter rule names it", group))
	}
	cleaned.Kept = slices.Concat(cleaned.Kept, f.keptGroups(refused), f.keptObjects())
	return cleaned, nil
}

// cleanUpWithoutSSH unblocks the known prefixes one by one.
func (a *Appliance) cleanUpWithoutSSH(ctx context.Context, known []netip.Prefix) (Cleaned, error) {
	cleaned := Cleaned{Kept: []string{fmt.Sprintf("the files: they are reached over SSH only, and may still hold the groups %s and %s and objects crowdsec_… "+
		"of a configuration with SSH; to remove these, run this once with ssh_password or ssh_private_key_path", a.config.Group, a.config.DeleteGroup)}}
	if len(known) == 0 {
		return cleaned, nil
	}
	session, err := a.OpenMonitor(ctx)
	if err != nil {
		return cleaned, err
	}
	defer Release(ctx, session)
	a.progress("unblocking %d prefixes one by one", len(known))
	unblocked, err := blacklist.UnblockEach(ctx, session, known, never)
	cleaned.Unblocked = len(unblocked)
	return cleaned, err
}

// allGroups returns our groups and those of earlier configurations.
func (f *flush) allGroups() []string {
	return append([]string{f.config.Group, f.config.DeleteGroup}, f.change.OldGroups...)
}

// presentGroups returns those of our groups that are in the files.
func (f *flush) presentGroups() []string {
	return slices.DeleteFunc(f.allGroups(), func(group string) bool { return !objects.HasSection(f.files.text.Objectgroup, group) })
}

// unblockForeign unblocks our groups that have foreign members, because a command with the group may have blocked these members.
// It returns the members that the appliance refuses to unblock. They may still be blocked.
func (f *flush) unblockForeign(ctx context.Context) (refused []string, err error) {
	for _, found := range foreignMembers(f.files.text.Objectgroup, f.allGroups()...) {
		session, err := f.monitor(ctx, true)
		if err != nil {
			return nil, err
		}
		if err := blacklist.Unblock(ctx, session, found.group); err == nil {
			continue
		} else if !serverd.IsRefused(err) {
			return nil, fmt.Errorf("unblock group %s: %w", found.group, err)
		}
		for _, name := range found.members {
			if err := blacklist.Unblock(ctx, session, name); serverd.IsRefused(err) {
				refused = append(refused, name)
			} else if err != nil {
				return nil, fmt.Errorf("unblock %s: %w", name, err)
			}
		}
	}
	return refused, nil
}

// noBans is the AllInForce of a cleanup.
func noBans(context.Context, []netip.Prefix) ([]netip.Prefix, error) { return nil, nil }

// namedGroups returns those of some groups that a filter rule names. If the account may not read the policies, these are all groups if a
// rule enforces, and none if not.
func (f *flush) namedGroups(ctx context.Context, groups []string) ([]string, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	session, err := f.monitor(ctx, false)
	if err != nil {
		return nil, err
	}
	named, err := filter.Named(ctx, session, groups...)
	if !serverd.IsRefused(err) && !serverd.IsForbidden(err) {
		return named, err
	}
	if f.config.Rule.Enforces {
		return groups, nil
	}
	return nil, nil
}

// removeGroups removes the groups, and the sections that this program made. It empties the named groups, which filter rules name, and
// leaves their sections.
func (f *flush) removeGroups(ctx context.Context, named []string) error {
	for attempt := 0; ; attempt++ {
		if err := f.files.read(ctx); err != nil {
			return err
		}
		groups := f.files.text.Objectgroup
		for _, group := range named {
			groups = objects.EmptyGroup(groups, group)
		}
		for _, group := range f.allGroups() {
			if !slices.Contains(named, group) {
				groups = objects.RemoveGroup(groups, group)
			}
		}
		object := objects.Remove(f.files.text.Object, objects.Referenced(groups))
		changed, err := f.files.replace(ctx, objects.Patched{Defined: f.files.text.Object, Objectgroup: groups, Object: object})
		if !errors.Is(err, edit.ErrChanged) || attempt == maxAttempts {
			return errors.Join(err, f.afterWrite(ctx, changed))
		}
	}
}

// keptGroups describes our groups that stay. refused are members that the appliance refused to unblock.
func (f *flush) keptGroups(refused []string) []string {
	var kept []string
	for _, found := range foreignMembers(f.files.text.Objectgroup, f.allGroups()...) {
		text := describeForeign([]foreign{found})
		if i := slices.IndexFunc(found.members, func(member string) bool { return slices.Contains(refused, member) }); i >= 0 {
			text += fmt.Sprintf("; the appliance refused to unblock %s: look whether it is on the blacklist", found.members[i])
		}
		kept = append(kept, text)
	}
	return kept
}

// maxKept is how many of the objects that stay are named.
const maxKept = 10

// keptObjects describes our objects that stay, each with a group that lists it.
func (f *flush) keptObjects() []string {
	var kept []string
	listed := objects.Listed(f.files.text.Objectgroup)
	n := 0
	for p := range objects.Defined(f.files.text.Object) {
		if n++; n > maxKept {
			continue
		}
		group := listed[p]
		why := "which holds only such objects: another notification may use it"
		if len(objects.ForeignMembers(f.files.text.Objectgroup, group)) > 0 {
			why = "a group of the administrator"
		}
		kept = append(kept, fmt.Sprintf("object %s: group %s lists it, %s", objects.Name(p), group, why))
	}
	if n > maxKept {
		kept = append(kept, fmt.Sprintf("… and %d more objects", n-maxKept))
	}
	return kept
}

func count[T any](seq iter.Seq[T]) int {
	n := 0
	for range seq {
		n++
	}
	return n
}
