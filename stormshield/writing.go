package stormshield

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
)

// maxAttempts is how often a flush begins a write again because somebody else changed the files.
const maxAttempts = 5

// write makes the files list the bans in force, name the prefixes that must still be unblocked, and name no other prefix. If
// their state is not known, or somebody else changed them, write reads and compares them whole.
func (f *flush) write(ctx context.Context) error {
	f.progress("writing the files")
	replaced := false // an attempt may have replaced one file before it failed
	pending := len(f.add)+len(f.remove)+len(f.pending) > 0
	for attempt := 0; ; attempt++ {
		changed, err := f.writeOnce(ctx)
		if err == nil {
			f.add, f.remove = nil, nil
			f.done.Changed = f.done.Changed || changed || replaced
			return f.afterWrite(ctx, changed || replaced || pending)
		}
		f.files.forget()
		switch {
		case errors.Is(err, errUnread):
		case errors.Is(err, edit.ErrChanged) && attempt < maxAttempts:
			replaced = true
		default:
			return err
		}
	}
}

func (f *flush) writeOnce(ctx context.Context) (changed bool, err error) {
	patch := objects.Patch{Group: f.config.Group, DeleteGroup: f.config.DeleteGroup}
	complete := true
	if f.files.state.IsKnown() || f.files.hasText {
		patch.InForce = objects.NewSet(slices.Clone(f.add))
	} else {
		found, err := f.compare(ctx)
		if err != nil {
			return false, err
		}
		patch.InForce, complete = objects.NewSet(found.Wrong), found.Complete
	}
	patch.Removed = objects.NewSet(slices.Clone(f.remove))
	if pending := objects.NewSet(slices.Clone(f.pending)); f.unblocksByGroup() {
		patch.Ended = pending
	} else { // one by one, which needs the objects of ranges and no group
		patch.Unlisted = pending
	}
	if patch.Empty() && !complete { // only whole texts add an empty group
		return f.files.replace(ctx, patch.Apply(f.files.text.Object, f.files.text.Objectgroup))
	}
	return f.files.patch(ctx, patch)
}

// compare reads the files and compares them with the bans in force. Prefixes in the files that are not in force become pending.
// compare also finds foreign members.
func (f *flush) compare(ctx context.Context) (objects.Comparison, error) {
	f.progress("reading and comparing the files")
	if err := f.files.read(ctx); err != nil {
		return objects.Comparison{}, err
	}
	f.foreign = foreignMembers(f.files.text.Objectgroup, f.config.Group, f.config.DeleteGroup)
	all, err := f.change.AllInForce(ctx, slices.Collect(objects.Members(f.files.text.Objectgroup, f.config.Group)))
	if err != nil {
		return objects.Comparison{}, err
	}
	inForce := objects.NewSet(all)
	f.total = inForce.Len()
	found := objects.Compare(f.files.text.Object, f.files.text.Objectgroup, f.config.Group, f.config.DeleteGroup, inForce)
	f.pending = slices.DeleteFunc(slices.Clone(f.pending), inForce.Has)
	leftovers := objects.NewSet(append(found.Leftovers, f.listedByOldGroups(inForce)...))
	named := without(slices.Collect(leftovers.All()), f.pending)
	unexplained := without(named, slices.Concat(f.remove, f.done.Unblocked))
	f.remove = without(named, unexplained)
	f.pending = append(f.pending, unexplained...)
	f.done.Leftovers += len(unexplained)
	return found, nil
}

// afterWrite marks the open session as older than the files, because somebody else may have changed them while it was open. It runs the
// reload command if this flush changed the files, or if an earlier flush may have changed them and ended before that command.
func (f *flush) afterWrite(ctx context.Context, reload bool) error {
	f.outdated = true
	if !reload || f.config.ReloadCommand == "" {
		return nil
	}
	if _, err := f.files.shell.Run(ctx, f.config.ReloadCommand, nil); err != nil {
		return fmt.Errorf("run %s (reload_command): %w", f.config.ReloadCommand, err)
	}
	return nil
}
