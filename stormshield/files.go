package stormshield

import (
	"bytes"
	"context"
	"errors"

	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/shell"
)

// files are the appliance's two files over one SSH connection.
type files struct {
	shell *shell.Client
	edit  *edit.Files
	group string     // the group of bans in force
	state edit.State // what they are; zero: not known
	whole bool       // the appliance lacks what it takes to edit them there
	text  edit.Texts // what they hold
	known bool       // text says so; what was edited there is not known here
}

func (a *Appliance) openFiles(ctx context.Context, state edit.State) (*files, error) {
	client, err := a.DialSSH(ctx)
	if err != nil {
		return nil, err
	}
	return &files{shell: client, edit: edit.NewFiles(a.config.ConfigDir, a.config.Group, client), group: a.config.Group, state: state}, nil
}

func (f *files) close() { _ = f.shell.Close() }

// forget takes note that the files are not what they were thought to be.
func (f *files) forget() { f.state, f.text, f.known = edit.State{}, edit.Texts{}, false }

func (f *files) read(ctx context.Context) error {
	f.forget()
	text, err := f.edit.Read(ctx)
	if err == nil {
		f.is(text)
	}
	return err
}

// is takes note of what the files hold. What an awk may not keep is no state to
// build on: the next flush must read it again.
func (f *files) is(text edit.Texts) {
	f.text, f.known, f.state = text, true, edit.State{}
	if plain(text) {
		f.state = text.State(f.group)
	}
}

// errUnread says that the files must be read before they can be written.
var errUnread = errors.New("the files must be read first")

// patch carries a patch out: on the appliance if that is possible, otherwise
// here, for which they must have been read.
func (f *files) patch(ctx context.Context, p objects.Patch) (changed bool, err error) {
	if !f.whole && f.state.IsKnown() {
		is, err := f.edit.Patch(ctx, f.state, p)
		var unable *edit.UnableError
		if !errors.As(err, &unable) {
			changed = is != f.state
			f.forget()
			f.state = is
			return changed, err
		}
		f.whole = true
	}
	if !f.known {
		return false, errUnread
	}
	return f.replace(ctx, p.Apply(f.text.Object, f.text.Objectgroup))
}

// replace puts texts that were made here in the place of those that were read.
func (f *files) replace(ctx context.Context, is objects.Patched) (changed bool, err error) {
	if err := f.edit.Replace(ctx, f.text, is); err != nil {
		return false, err
	}
	was := f.text
	f.is(edit.Texts{Object: is.Object, Objectgroup: is.Objectgroup})
	return !bytes.Equal(is.Object, was.Object) || !bytes.Equal(is.Objectgroup, was.Objectgroup), nil
}

// plain reports whether every awk keeps a text: some end a line at a zero byte.
func plain(t edit.Texts) bool {
	return bytes.IndexByte(t.Object, 0) < 0 && bytes.IndexByte(t.Objectgroup, 0) < 0
}
