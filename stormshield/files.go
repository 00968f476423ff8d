package stormshield

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/shell"
)

// maxAttempts is how often a flush reads a file anew because somebody else
// changed it in the moment between reading and renaming.
const maxAttempts = 5

// files are the appliance's two files over one SSH connection.
type files struct {
	shell       *shell.Client
	object      *file
	objectgroup *file
	written     int // how often one of them was replaced
}

// file is one of them, as it was last read or written.
type file struct {
	of   *files
	path string
	text []byte
}

func (a *Appliance) openFiles(ctx context.Context) (*files, error) {
	client, err := shell.Dial(ctx, a.config.SSH)
	if err != nil {
		return nil, err
	}
	f := &files{shell: client}
	f.object, f.objectgroup = &file{of: f, path: a.object()}, &file{of: f, path: a.objectgroup()}
	if err := f.read(ctx); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *files) close() { _ = f.shell.Close() }

func (f *files) read(ctx context.Context) (err error) {
	if f.object.text, err = f.shell.Read(ctx, f.object.path); err != nil {
		return err
	}
	f.objectgroup.text, err = f.shell.Read(ctx, f.objectgroup.path)
	return err
}

// leftovers yields everything of ours that the files name and only we use:
// members of our groups, and objects that no other group lists.
func (f *files) leftovers(groups ...string) iter.Seq[netip.Prefix] {
	used := objects.Referenced(f.objectgroup.text, groups...)
	return func(yield func(netip.Prefix) bool) {
		for _, g := range groups {
			for p := range objects.Members(f.objectgroup.text, g) {
				if !yield(p) {
					return
				}
			}
		}
		for p := range objects.Defined(f.object.text) {
			if !used.Has(p) && !yield(p) {
				return
			}
		}
	}
}

// edit runs edits of the two files, again with what they hold by then if
// somebody else changed one meanwhile.
func (f *files) edit(ctx context.Context, edits func() error) error {
	for attempt := 0; ; attempt++ {
		err := edits()
		if !errors.Is(err, shell.ErrChanged) || attempt == maxAttempts {
			return err
		}
		if err := f.read(ctx); err != nil {
			return err
		}
	}
}

// edit replaces the file by what the edit makes of its text, if that is
// another. A file that somebody else changed since it was read is
// [shell.ErrChanged].
func (f *file) edit(ctx context.Context, edit func(text []byte) []byte) error {
	text := edit(f.text)
	if bytes.Equal(text, f.text) {
		return nil
	}
	if err := f.of.shell.Replace(ctx, f.path, f.text, text); err != nil {
		return err
	}
	f.text = text
	f.of.written++
	return nil
}

// Members reads which prefixes the group of bans lists now: what the older
// Python component, or a plugin whose state was lost, has blocked.
func (a *Appliance) Members(ctx context.Context) ([]netip.Prefix, error) {
	f, err := a.openFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for bans of an earlier installation: %w", err)
	}
	defer f.close()
	return slices.Collect(objects.Members(f.objectgroup.text, a.config.Group)), nil
}
