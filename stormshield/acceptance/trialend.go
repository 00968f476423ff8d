package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
)

// tidy takes off everything that was tried, also when the caller gave up.
func (t *trial) tidy(ctx context.Context) {
	t.progress("taking everything off again")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	var errs []error
	blocked := t.unblockAll(ctx)
	t.leave(ctx)
	if t.wrote {
		if err := t.erase(ctx); err != nil {
			errs = append(errs, fmt.Errorf("take the groups %s and %s out of the files: %w", trialGroup, trialEndedGroup, err))
		}
	}
	if blocked != nil { // a session may be of no use while the files are as they were
		blocked = t.unblockAll(ctx)
		t.leave(ctx)
		errs = append(errs, blocked)
	}
	switch {
	case errors.Join(errs...) != nil:
		t.wrong(nothingIsLeft, errors.Join(errs...), fmt.Sprintf("run this again; entries end by themselves within %s", 2*trialTime))
	case !t.wrote:
		t.holds(nothingIsLeft, "no file was written")
	case bytes.Equal(t.is.Object, t.before.Object) && bytes.Equal(t.is.Objectgroup, t.before.Objectgroup):
		t.holds(nothingIsLeft, "both files are what they were, byte for byte")
	default:
		t.holds(nothingIsLeft, "all is removed; the plugin or somebody else changed the files meanwhile")
	}
}

// unblockAll takes off the blacklist what is still on it.
func (t *trial) unblockAll(ctx context.Context) error {
	if !t.blocked {
		return nil
	}
	var errs []error
	for _, p := range trialPrefixes() {
		is, err := t.show(ctx, p)
		if err == nil && is.Text == "" && t.shows {
			continue
		}
		if failed := t.remove(ctx, blacklist.Name(p)); failed != nil && (err != nil || is.Text != "") {
			errs = append(errs, fmt.Errorf("unblock %s: %w", p, failed))
		}
	}
	return errors.Join(errs...)
}

// erase makes the files name nothing of what is tried. A connection that was
// given up is opened anew, once.
func (t *trial) erase(ctx context.Context) error {
	if _, err := t.files.Read(ctx); err != nil {
		client, failed := t.DialSSH(ctx)
		if failed != nil {
			return failed
		}
		_ = t.shell.Close()
		t.shell, t.files = client, edit.In(t.config.ConfigDir, trialGroup, client)
	}
	err := t.patiently(ctx, func() error { return t.eraseOnce(ctx) })
	if err == nil {
		err = t.reloaded(ctx)
	}
	return err
}

// eraseOnce removes the lines of the trial from both files as they are now.
func (t *trial) eraseOnce(ctx context.Context) (err error) {
	if t.is, err = t.files.Read(ctx); err != nil {
		return err
	}
	p := trialPatch()
	p.Absent = objects.NewSet(trialPrefixes())
	without := p.Apply(t.is.Object, t.is.Objectgroup)
	groups := objects.RemoveGroup(objects.RemoveGroup(without.Objectgroup, trialGroup), trialEndedGroup)
	object := objects.RemoveSections(without.Object, t.sections()...)
	if err := t.files.Replace(ctx, t.is, objects.Patched{Defined: t.is.Object, Objectgroup: groups, Object: object}); err != nil {
		return err
	}
	t.is, err = t.files.Read(ctx)
	return err
}

// sections returns the sections of object that were there before the trial.
func (t *trial) sections() []string {
	var sections []string
	for _, section := range []string{objects.HostSection, objects.NetworkSection} {
		if objects.HasSection(t.before.Object, section) {
			sections = append(sections, section)
		}
	}
	return sections
}
