package stormshield

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

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
// though the files do not name them.
func (a *Appliance) Cleanup(ctx context.Context, known []netip.Prefix) (Cleaned, error) {
	f := &flush{Appliance: a, change: Change{Unblock: known}}
	defer f.close(ctx)
	var err error
	if f.files, err = f.openFiles(ctx); err != nil {
		return Cleaned{}, err
	}
	had := len(slices.Collect(objects.Defined(f.files.object.text)))
	// A flush without a standing ban takes off all but the frame.
	if err := f.run(ctx); err != nil {
		return Cleaned{Unblocked: len(f.done.Unblocked)}, err
	}
	cleaned := Cleaned{Unblocked: len(f.done.Unblocked)}
	if err := f.files.edit(ctx, func() error { return f.removeFrame(ctx) }); err != nil {
		return cleaned, err
	}
	cleaned.Objects = had - len(slices.Collect(objects.Defined(f.files.object.text)))
	cleaned.Kept = f.kept()
	return cleaned, f.noteWritten(ctx, true)
}

// removeFrame takes out what stays between flushes: the groups, and sections
// that were made.
func (f *flush) removeFrame(ctx context.Context) error {
	err := f.files.objectgroup.edit(ctx, func(text []byte) []byte {
		return objects.RemoveGroup(objects.RemoveGroup(text, f.config.DeleteGroup), f.config.Group)
	})
	if err != nil {
		return err
	}
	used := objects.Referenced(f.files.objectgroup.text)
	return f.files.object.edit(ctx, func(text []byte) []byte { return objects.Remove(text, used) })
}

func (f *flush) kept() []string {
	var kept []string
	for _, group := range []string{f.config.Group, f.config.DeleteGroup} {
		if foreign := objects.Foreign(f.files.objectgroup.text, group); len(foreign) > 0 {
			kept = append(kept, fmt.Sprintf("group %s: it has members that this program did not make, such as %s", group, foreign[0]))
		}
	}
	for p := range objects.Defined(f.files.object.text) {
		kept = append(kept, fmt.Sprintf("object %s: a group of the administrator lists it", objects.Name(p)))
	}
	return kept
}
