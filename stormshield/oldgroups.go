package stormshield

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
)

// listedByOldGroups returns the prefixes that the old groups list and that are
// not in force. Their entries may still be on the blacklist.
func (f *flush) listedByOldGroups(inForce objects.Set) []netip.Prefix {
	var listed []netip.Prefix
	for _, group := range f.change.OldGroups {
		for p := range objects.Members(f.files.text.Objectgroup, group) {
			if !inForce.Has(p) {
				listed = append(listed, p)
			}
		}
	}
	return listed
}

// removeOldGroups removes the old groups from the files, and the objects that no
// other group lists. Everything in force must be in the group of bans by then.
func (f *flush) removeOldGroups(ctx context.Context) error {
	if len(f.change.OldGroups) == 0 {
		return nil
	}
	f.progress("removing old groups")
	if err := f.keepNamedGroups(ctx); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		if err := f.files.read(ctx); err != nil {
			return err
		}
		changed, err := f.files.replace(ctx, f.withoutOldGroups(f.files.text))
		if errors.Is(err, edit.ErrChanged) && attempt < maxAttempts {
			continue
		}
		if err != nil {
			return err
		}
		f.done.OldGroupsGone, f.done.Kept = true, append(f.done.Kept, f.keptOldGroups()...)
		f.done.Changed = f.done.Changed || changed
		return f.afterWrite(ctx, changed)
	}
}

func (f *flush) withoutOldGroups(text edit.Texts) objects.Patched {
	var members []netip.Prefix
	groups := text.Objectgroup
	for _, group := range f.change.OldGroups {
		members = slices.AppendSeq(members, objects.Members(groups, group))
		groups = objects.RemoveGroup(groups, group)
	}
	inForce := slices.Collect(objects.Members(groups, f.config.Group))
	patch := objects.Patch{
		Group: f.config.Group, DeleteGroup: f.config.DeleteGroup,
		Removed: objects.NewSet(without(members, inForce)),
	}
	return patch.Apply(text.Object, groups)
}

// keptOldGroups describes the old groups that stay in the files.
func (f *flush) keptOldGroups() []string {
	var kept []string
	for _, group := range f.change.OldGroups {
		if foreign := objects.ForeignMembers(f.files.text.Objectgroup, group); len(foreign) > 0 {
			kept = append(kept, fmt.Sprintf("group %s: it has members that this program did not make, such as %s", group, foreign[0]))
		}
	}
	return kept
}
