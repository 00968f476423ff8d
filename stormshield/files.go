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
	shell   *shell.Client
	edit    *edit.Files
	group   string     // the group of bans in force
	state   edit.State // of the files as they are now; zero: not known
	unable  bool       // the appliance lacks a tool to edit them itself
	text    edit.Texts // their contents, if hasText
	hasText bool
}

// openFiles logs in over SSH. permit is called before that, and before each command.
func (a *Appliance) openFiles(ctx context.Context, state edit.State, permit func() error) (*files, error) {
	if err := permit(); err != nil {
		return nil, err
	}
	client, err := a.DialSSH(ctx)
	if err != nil {
		return nil, err
	}
	client.Permit = permit
	return &files{shell: client, edit: edit.NewFiles(a.config.ConfigDir, a.config.Group, client), group: a.config.Group, state: state}, nil
}

func (f *files) close() { _ = f.shell.Close() }

// forget drops what is known about the files.
func (f *files) forget() { f.state, f.text, f.hasText = edit.State{}, edit.Texts{}, false }

func (f *files) read(ctx context.Context) error {
	f.forget()
	text, err := f.edit.Read(ctx)
	if err == nil {
		f.setText(text)
	}
	return err
}

// setText stores the contents of the files. A text with a zero byte gets no state, because some awks end a line there. The next
// flush then reads the files again.
func (f *files) setText(text edit.Texts) {
	f.text, f.hasText, f.state = text, true, edit.State{}
	if !bytes.ContainsRune(text.Object, 0) && !bytes.ContainsRune(text.Objectgroup, 0) {
		f.state = text.State(f.group)
	}
}

// errUnread means that the files must be read before they can be written.
var errUnread = errors.New("the files must be read first")

// patch applies a patch. The appliance edits the files if it can. Otherwise patch sends whole texts, and needs the texts of the
// files for that.
func (f *files) patch(ctx context.Context, p objects.Patch) (changed bool, err error) {
	if !f.unable && f.state.IsKnown() {
		state, err := f.edit.Patch(ctx, f.state, p)
		var unable *edit.UnableError
		if !errors.As(err, &unable) {
			changed = state != f.state
			f.forget()
			f.state = state
			return changed, err
		}
		f.unable = true
	}
	if !f.hasText {
		return false, errUnread
	}
	return f.replace(ctx, p.Apply(f.text.Object, f.text.Objectgroup))
}

// replace sends whole texts. The files must still be those that were read.
func (f *files) replace(ctx context.Context, next objects.Patched) (changed bool, err error) {
	before := f.text
	if err := f.edit.Replace(ctx, before, next); err != nil {
		return false, err
	}
	f.setText(edit.Texts{Object: next.Object, Objectgroup: next.Objectgroup})
	return !bytes.Equal(next.Object, before.Object) || !bytes.Equal(next.Objectgroup, before.Objectgroup), nil
}
