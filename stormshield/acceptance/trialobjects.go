package acceptance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// seen tries whether a session that is opened after the write knows an object
// of it.
func (t *trial) seen(ctx context.Context) {
	name := objects.Name(trialAddress)
	early := t.add(ctx, name, trialTime) == nil // in the session from before
	err := t.addAnew(ctx, name)
	var root *serverd.RootError
	switch {
	case err == nil && early:
		t.holds(newSession, "it does, and so does one from before")
	case err == nil:
		t.holds(newSession, "it does, and one from before does not")
	case errors.As(err, &root):
		t.wrong(newSession, err, "the appliance does not take the files as they are: paste this report into a bug report")
	case t.config.ReloadCommand != "":
		t.wrong(newSession, err, "what was written is not known after "+t.config.ReloadCommand+" either (reload_command)")
	default:
		t.seenReloaded(ctx, name, err)
		return
	}
	t.sees = err == nil
}

// seenReloaded tries it after the appliance was told to read its files.
func (t *trial) seenReloaded(ctx context.Context, name string, unseen error) {
	if state, err := t.shell.Tool(ctx, enobject); err != nil || state != shell.Works {
		t.wrong(newSession, unseen, "what was written is not known, and there is no enobject: find the command that makes the appliance read its files, and set reload_command")
		return
	}
	t.reload = true
	if err := t.addAnew(ctx, name); err != nil {
		t.wrong(newSession, err, "what was written is not known, even after enobject: paste this report into a bug report")
		return
	}
	t.sees = true
	t.wrong(newSession, fmt.Errorf("%w; after enobject it is known", unseen), "set reload_command: enobject")
}

// addAnew blocks what a name stands for, in a session that is opened now.
func (t *trial) addAnew(ctx context.Context, name string) error {
	if err := t.reloaded(ctx); err != nil {
		return err
	}
	if err := t.open(ctx); err != nil {
		return err
	}
	return t.add(ctx, name, trialTime)
}

// group tries what blocking a group does.
func (t *trial) group(ctx context.Context) {
	if !t.sees {
		return
	}
	err := t.remove(ctx, blacklist.Name(trialAddress))
	if err == nil {
		err = t.add(ctx, trialGroup, trialTime)
	}
	if err == nil {
		var is blacklist.Line
		if is, err = t.show(ctx, trialAddress); err == nil && is.Text == "" && t.shows {
			err = errors.New("ADD succeeds, and SHOW prints no line with its member")
		}
	}
	if err != nil {
		t.wrong(groupBlock, err, "many bans, and every re-assert, go by group: paste this report into a bug report")
		return
	}
	t.holds(groupBlock, t.accepted())
	t.ungroup(ctx)
}

// ungroup tries to take a member off by its group.
func (t *trial) ungroup(ctx context.Context) {
	err := t.add(ctx, blacklist.Name(trialEnded), trialTime)
	if err == nil {
		err = t.remove(ctx, trialEndedGroup)
	}
	if err == nil {
		var is blacklist.Line
		if is, err = t.show(ctx, trialEnded); err == nil && is.Text != "" {
			err = errors.New("DELETE succeeds, and SHOW still prints " + is.Text)
		}
	}
	if err != nil {
		t.wrong(groupUnblock, err, "many ended bans go by group: set api_single_max to more than you have, and paste this report into a bug report")
		return
	}
	t.holds(groupUnblock, "accepted, and gone")
}

func (t *trial) ranges(ctx context.Context) {
	if !t.works(groupBlock) {
		return
	}
	const hint = "ranges are not blocked: leave them out of your profiles, and paste this report into a bug report"
	byGroup, err := t.show(ctx, trialRange)
	if err == nil {
		_ = t.remove(ctx, objects.Name(trialRange)) // as good as refused, if it was not listed
		err = t.add(ctx, objects.Name(trialRange), trialTime)
	}
	if err != nil {
		t.wrong(rangeBlock, err, hint)
		return
	}
	is, err := t.show(ctx, trialRange)
	switch {
	case err != nil:
		t.wrong(rangeBlock, err, hint)
	case is.Text == "" && t.shows:
		t.wrong(rangeBlock, errors.New("ADD succeeds, and SHOW prints no line with its first address"), hint)
	case byGroup.Text == "" && t.shows:
		t.wrong(rangeBlock, errors.New("by its name it is listed, as a member of a group it is not"), hint)
	default:
		t.holds(rangeBlock, is.Text)
	}
	_ = t.remove(ctx, objects.Name(trialRange)) // now, for it goes by its name; tidy looks whether it is gone
}

const hintIPv6 = "IPv6 is not blocked: put 2000::/3, all of its addresses that are routed, into never_block; paste this report into a bug report"

func (t *trial) addressIPv6(ctx context.Context) {
	err := t.add(ctx, blacklist.Name(trialIPv6), trialTime)
	var is blacklist.Line
	if err == nil {
		is, err = t.show(ctx, trialIPv6)
	}
	switch {
	case err != nil:
		t.wrong(ipv6Address, err, hintIPv6)
	case is.Text == "" && t.shows:
		t.wrong(ipv6Address, errors.New("ADD succeeds, and SHOW prints no line with the address"), hintIPv6)
	default:
		t.holds(ipv6Address, is.Text)
	}
}

func (t *trial) objectIPv6(ctx context.Context) {
	if !t.sees {
		return
	}
	err := t.change(ctx, trialPatch(trialIPv6))
	if err == nil {
		err = t.add(ctx, objects.Name(trialIPv6), trialTime)
	}
	if err != nil {
		t.wrong(ipv6Object, err, hintIPv6)
		return
	}
	t.holds(ipv6Object, objects.Name(trialIPv6)+"="+objects.Value(trialIPv6))
}

// empty tries a group that is a header alone, which the group of ended bans is
// between flushes.
func (t *trial) empty(ctx context.Context) {
	if !t.sees {
		return
	}
	p, absent := trialPatch(), []netip.Prefix{trialEnded}
	if !t.works(ipv6Object) {
		absent = append(absent, trialIPv6)
	}
	p.Absent = objects.NewSet(absent)
	err := t.change(ctx, p)
	if err == nil {
		err = t.add(ctx, objects.Name(trialAddress), trialTime)
	}
	if err != nil {
		t.wrong(emptyGroup, err, "between flushes "+t.config.DeleteGroup+" is empty: the plugin does not work here; paste this report into a bug report")
		return
	}
	t.holds(emptyGroup, "["+trialEndedGroup+"] harms nothing")
}
