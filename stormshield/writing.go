package stormshield

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
)

// maxAttempts is how often a flush compares the files anew because somebody
// else changed them under its hands.
const maxAttempts = 5

// write makes the files say what they must: list what stands, name what is
// pending, and forget the rest. If they are not what they are thought to be, or
// nobody knows, they are read and compared whole.
func (f *flush) write(ctx context.Context) (err error) {
	f.dialed = true
	if f.files, err = f.connect(); err != nil {
		return err
	}
	f.doing("writing the files")
	touched := false // by an attempt that came too late for one of the files
	for attempt := 0; ; attempt++ {
		changed, err := f.writeOnce(ctx)
		if err == nil {
			f.add, f.remove = nil, nil
			return f.noteWritten(ctx, changed || touched)
		}
		f.files.forget()
		switch {
		case errors.Is(err, errUnread):
		case errors.Is(err, edit.ErrChanged) && attempt < maxAttempts:
			touched = true
		default:
			return err
		}
	}
}

func (f *flush) writeOnce(ctx context.Context) (changed bool, err error) {
	patch := objects.Patch{Group: f.config.Group, DeleteGroup: f.config.DeleteGroup}
	complete := true
	if f.files.state.IsKnown() || f.files.known {
		patch.InForce = objects.NewSet(slices.Clone(f.add))
	} else {
		survey, err := f.compare(ctx)
		if err != nil {
			return false, err
		}
		patch.InForce, complete = objects.NewSet(survey.Wrong), survey.Complete
	}
	patch.Removed = objects.NewSet(slices.Clone(f.remove))
	if pending := objects.NewSet(slices.Clone(f.pending)); f.unblocksByGroup() {
		patch.Ended = pending
	} else { // one by one: a range goes by its name, and nothing needs a group
		patch.Unlisted = pending
	}
	if patch.Empty() && !complete { // the groups are made here
		return f.files.replace(ctx, patch.Apply(f.files.text.Object, f.files.text.Objectgroup))
	}
	return f.files.patch(ctx, patch)
}

// compare reads the files. It finds the bans that they lack, the prefixes that they
// name and that are not in force, which are then pending, and foreign members.
func (f *flush) compare(ctx context.Context) (objects.Comparison, error) {
	f.doing("reading and comparing the files")
	if err := f.files.read(ctx); err != nil {
		return objects.Comparison{}, err
	}
	f.foreign = foreignMembers(f.files.text.Objectgroup, f.config.Group, f.config.DeleteGroup)
	standing, err := f.change.AllInForce(ctx, slices.Collect(objects.Members(f.files.text.Objectgroup, f.config.Group)))
	if err != nil {
		return objects.Comparison{}, err
	}
	inForce := objects.NewSet(standing)
	f.total = inForce.Len()
	survey := objects.Compare(f.files.text.Object, f.files.text.Objectgroup, f.config.Group, f.config.DeleteGroup, inForce)
	f.pending = slices.DeleteFunc(slices.Clone(f.pending), inForce.Has)
	leftovers := objects.NewSet(append(survey.Leftovers, f.listedByOldGroups(inForce)...))
	named := without(slices.Collect(leftovers.All()), f.pending)
	unexplained := without(named, slices.Concat(f.remove, f.done.Unblocked))
	f.remove = without(named, unexplained)
	f.pending = append(f.pending, unexplained...)
	f.done.Leftovers += len(unexplained)
	return survey, nil
}

// noteWritten takes note that the files changed under the open session, and
// has the appliance read them if it was told how.
func (f *flush) noteWritten(ctx context.Context, changed bool) error {
	if !changed {
		return nil
	}
	f.stale = true
	if f.config.ReloadCommand == "" {
		return nil
	}
	if _, err := f.files.shell.Run(ctx, f.config.ReloadCommand, nil); err != nil {
		return fmt.Errorf("run %s (reload_command): %w", f.config.ReloadCommand, err)
	}
	return nil
}
