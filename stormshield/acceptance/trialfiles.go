package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
)

// written writes the first objects and groups. It reports whether the appliance
// holds what was meant.
func (t *trial) written(ctx context.Context) bool {
	var err error
	if t.before, err = t.files.Read(ctx); err != nil {
		t.wrong(editing, err, "look at the SSH connection")
		return false
	}
	t.is = t.before
	if err := stormshield.ForeignMembers(t.is.Objectgroup, trialGroup, trialEndedGroup); err != nil {
		t.wrong(editing, err, "remove them from the group in the web administration, because this check fills, blocks and removes the group")
		return false
	}
	for _, p := range trialPrefixes() {
		if objects.HasSection(t.is.Objectgroup, t.config.Group) &&
			slices.Contains(slices.Collect(objects.Members(t.is.Objectgroup, t.config.Group)), p) {
			t.untried(editing, fmt.Sprintf("%s is banned: end that ban first (`bans remove %[1]s`)", p.Addr()))
			return false
		}
	}
	if objects.HasSection(t.is.Objectgroup, trialGroup) || objects.HasSection(t.is.Objectgroup, trialEndedGroup) {
		t.before = edit.Texts{}              // also the sections that it made
		if err := t.erase(ctx); err != nil { // what a trial left that was broken off
			t.wrong(editing, err, "take the groups "+trialGroup+" and "+trialEndedGroup+" off by hand")
			return false
		}
		t.before = t.is
	}
	t.progress("writing objects and groups")
	modes := t.modes(ctx)
	if !t.edit(ctx) {
		return false
	}
	if is := t.modes(ctx); is == "" || modes == "" {
		t.untried(modeAndOwner, "the appliance has no ls that tells")
	} else if is != modes {
		t.wrong(modeAndOwner, fmt.Errorf("was %s, is %s", modes, is), "restore them, and paste this report into a bug report")
	} else {
		t.holds(modeAndOwner, is)
	}
	return true
}

// edit makes the first change, on the appliance itself if it can.
func (t *trial) edit(ctx context.Context) bool {
	patch := trialPatch(trialAddress, trialRange)
	patch.Ended = objects.NewSet([]netip.Prefix{trialEnded})
	result, err := t.put(ctx, patch)
	switch {
	case err != nil:
		t.wrong(editing, err, "the plugin cannot write the files; look at the disk and the rights of "+t.config.ConfigDir)
		return false
	case result.whole != "":
		t.differs(editing, result.whole, "each flush sends both files whole")
	case result.is != result.meant:
		t.wrong(editing, fmt.Errorf("cksum of the two files is %s, and was meant to be %s", result.is, result.meant),
			"look at the two files, and paste this report into a bug report")
		return false
	default:
		t.holds(editing, "sh and awk make what was meant")
	}
	return true
}

// trialPatch lists prefixes in the group that is tried.
func trialPatch(listed ...netip.Prefix) objects.Patch {
	return objects.Patch{Group: trialGroup, DeleteGroup: trialEndedGroup, Standing: objects.NewSet(listed)}
}

// put is what came of a patch.
type put struct {
	whole     string // why it went by whole files; "" if the appliance did it
	is, meant edit.State
}

// hasNUL reports whether an awk may end a line early: some do at a zero byte.
func hasNUL(t edit.Texts) bool {
	return bytes.IndexByte(t.Object, 0) >= 0 || bytes.IndexByte(t.Objectgroup, 0) >= 0
}

var errZero = errors.New("there is a zero byte in them, which an awk may not keep")

// put carries out a patch, and reads the files then.
func (t *trial) put(ctx context.Context, p objects.Patch) (result put, err error) {
	t.wrote = true
	err = t.patiently(ctx, func() error {
		result, err = t.putOnce(ctx, p)
		return err
	})
	return result, err
}

// putOnce carries out a patch: on the appliance, or if that lacks a tool, by
// whole files.
func (t *trial) putOnce(ctx context.Context, p objects.Patch) (result put, err error) {
	if t.is, err = t.files.Read(ctx); err != nil {
		return put{}, err
	}
	want := p.Apply(t.is.Object, t.is.Objectgroup)
	result.meant = edit.Texts{Object: want.Object, Objectgroup: want.Objectgroup}.State(trialGroup)
	err = errZero
	if !hasNUL(t.is) {
		result.is, err = t.files.Patch(ctx, t.is.State(trialGroup), p)
	}
	var unable *edit.UnableError
	if errors.As(err, &unable) || errors.Is(err, errZero) {
		result.whole = fmt.Sprintf("by whole files: %v", err)
		err = t.files.Replace(ctx, t.is, want)
	}
	if err == nil {
		t.is, err = t.files.Read(ctx)
	}
	return result, err
}

// patiently tries again what failed because a flush of the plugin, or somebody
// else, was at work on the files. The pauses are random, so as not to keep step
// with the flushes.
func (t *trial) patiently(ctx context.Context, write func() error) error {
	for began := time.Now(); ; {
		err := write()
		if !errors.Is(err, edit.ErrChanged) || time.Since(began) > patience {
			return err
		}
		select {
		case <-time.After(rand.N(time.Second)): //nolint:gosec // no secret
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// change carries out a patch and opens a session that sees it.
func (t *trial) change(ctx context.Context, p objects.Patch) error {
	_, err := t.put(ctx, p)
	if err == nil {
		err = t.reloaded(ctx)
	}
	if err == nil {
		err = t.open(ctx)
	}
	return err
}

// reloaded has the appliance read its files, if it needs to be told.
func (t *trial) reloaded(ctx context.Context) error {
	command := t.config.ReloadCommand
	if command == "" && t.reload {
		command = enobject
	}
	if command == "" {
		return nil
	}
	_, err := t.shell.Run(ctx, command, nil)
	return err
}

// enobject has the appliance read its objects anew (vendor's documents).
const enobject = "enobject"

// modes returns mode, owner and group of both files; "" if the appliance does
// not tell.
func (t *trial) modes(ctx context.Context) string {
	out, err := t.shell.Run(ctx, "cd "+t.config.ConfigDir+" && ls -ln object objectgroup", nil)
	if err != nil {
		return ""
	}
	var modes []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 4 {
			modes = append(modes, fmt.Sprintf("%s %s:%s", strings.ToValidUTF8(f[0], "?"), f[2], f[3]))
		}
	}
	return strings.Join(modes, ", ")
}
