package stormshield

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
)

// Cleaned is what Cleanup did.
type Cleaned struct {
	Unblocked int      // addresses and ranges taken off the blacklist
	Objects   int      // objects taken out of the files
	Kept      []string // what stays because the administrator uses it, and why
}

// Cleanup takes everything off that this program or the older Python component
// made: entries of the blacklist, both groups, and the objects. Every other
// byte of the files stays. known are prefixes that may be on the blacklist
// though the files do not name them, and oldGroups groups of earlier
// configurations.
func (a *Appliance) Cleanup(ctx context.Context, known []netip.Prefix, oldGroups ...string) (Cleaned, error) {
	f := a.flush(ctx, Change{Unblock: known, Standing: nothing, OldGroups: oldGroups})
	defer f.close(ctx)
	var err error
	f.doing("reading the files")
	f.dialed = true
	if f.files, err = f.connect(); err != nil {
		return Cleaned{}, err
	}
	if err := f.files.read(ctx); err != nil {
		return Cleaned{}, err
	}
	had := count(objects.Defined(f.files.text.Object))
	f.files.forget()
	// A flush without a standing ban takes off all but the frame.
	if err := f.run(ctx); err != nil {
		return Cleaned{Unblocked: len(f.done.Unblocked)}, err
	}
	cleaned := Cleaned{Unblocked: len(f.done.Unblocked)}
	if err := f.removeFrame(ctx); err != nil {
		return cleaned, err
	}
	cleaned.Objects = had - count(objects.Defined(f.files.text.Object))
	cleaned.Kept = append(f.done.Kept, f.kept()...)
	return cleaned, nil
}

// nothing is what stands when all is to go.
func nothing(context.Context, []netip.Prefix) ([]netip.Prefix, error) { return nil, nil }

// removeFrame takes out what stays between flushes: the groups, and sections
// that were made.
func (f *flush) removeFrame(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		if err := f.files.read(ctx); err != nil {
			return err
		}
		groups := objects.RemoveGroup(objects.RemoveGroup(f.files.text.Objectgroup, f.config.DeleteGroup), f.config.Group)
		object := objects.Remove(f.files.text.Object, objects.Referenced(groups))
		changed, err := f.files.replace(ctx, objects.Patched{Defined: f.files.text.Object, Objectgroup: groups, Object: object})
		if !errors.Is(err, edit.ErrChanged) || attempt == maxAttempts {
			return errors.Join(err, f.noteWritten(ctx, changed))
		}
	}
}

func (f *flush) kept() []string {
	var kept []string
	for _, group := range []string{f.config.Group, f.config.DeleteGroup} {
		if foreign := objects.Foreign(f.files.text.Objectgroup, group); len(foreign) > 0 {
			kept = append(kept, fmt.Sprintf("group %s: it has members that this program did not make, such as %s", group, foreign[0]))
		}
	}
	for p := range objects.Defined(f.files.text.Object) {
		kept = append(kept, fmt.Sprintf("object %s: a group of the administrator lists it", objects.Name(p)))
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
