package stormshield

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/serverd"
)

// block blocks the pending bans of one kind, one by one.
func (f *flush) block(ctx context.Context, kind func(netip.Prefix) bool) error {
	some := slices.DeleteFunc(slices.Clone(f.change.Block), func(b appliance.Ban) bool { return !kind(b.Prefix) })
	return f.blockEach(ctx, some, never)
}

// blockEach blocks one by one until stop reports true. An address needs no object. A
// range is named by its object, which a session sees only if it was opened after the
// write. If the appliance refuses a ban, such as an IPv6 address where it has no
// IPv6, the others are blocked all the same.
func (f *flush) blockEach(ctx context.Context, bans []appliance.Ban, stop func() bool) error {
	for i, b := range bans {
		f.doing("blocking %s", b.Prefix)
		session, err := f.monitor(ctx, !b.Prefix.IsSingleIP())
		if err != nil {
			return err
		}
		timeout := min(time.Until(b.Until), f.config.BlacklistTimeout)
		err = blacklist.Block(ctx, session, blacklist.Name(b.Prefix), timeout)
		switch {
		case err == nil:
			f.done.Blocked = append(f.done.Blocked, appliance.Entry{Prefix: b.Prefix, Expires: time.Now().Add(timeout)})
		case serverd.IsRefused(err):
			f.refused = cmp.Or(f.refused, fmt.Errorf("block %s: %w", b.Prefix, err))
			f.done.Refused = append(f.done.Refused, b.Prefix)
		default:
			return fmt.Errorf("block %s: %w", b.Prefix, err)
		}
		if stop() && i+1 < len(bans) {
			f.done.Unfinished = true
			break
		}
	}
	return nil
}

// refusal returns the warning that the appliance refused bans; nil: it refused none.
func (f *flush) refusal() error {
	switch n := len(f.done.Refused); n {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("the appliance does not take one of the bans, and enforces all others: %w", f.refused)
	default:
		return fmt.Errorf("the appliance does not take %d of the bans, and enforces all others; the first: %w", n, f.refused)
	}
}

// assert blocks everything in force by the group, unless the group has foreign
// members.
func (f *flush) assert(ctx context.Context) error {
	if f.total == 0 {
		return nil
	}
	if f.isForeign(f.config.Group) {
		return f.assertEach(ctx)
	}
	session, err := f.monitor(ctx, true)
	if err != nil {
		return err
	}
	f.doing("blocking the %d bans in force", f.total)
	now := time.Now()
	if err := blacklist.Block(ctx, session, f.config.Group, f.config.BlacklistTimeout); err != nil {
		return fmt.Errorf("block the %d addresses of group %s: %w%s", f.total, f.config.Group, err, f.unseen(err))
	}
	f.setAsserted(now)
	return nil
}

// setAsserted notes when everything in force got an entry of the longest life.
func (f *flush) setAsserted(at time.Time) {
	f.done.Asserted, f.done.AssertedUntil = at, at.Add(f.config.BlacklistTimeout)
}

// unblock takes pending prefixes off the blacklist: few one by one, many by the
// delete group, unless that has foreign members.
func (f *flush) unblock(ctx context.Context) error {
	f.doing("unblocking %d", len(f.pending))
	if f.unblocksByGroup() {
		if err := f.unblockGroup(ctx); err != nil {
			return err
		}
	}
	if len(f.pending) == 0 {
		return nil
	}
	session, err := f.monitor(ctx, slices.ContainsFunc(f.pending, isRange))
	if err != nil {
		return err
	}
	removed, err := blacklist.UnblockEach(ctx, session, f.pending, f.timeIsUp())
	f.unblocked(removed)
	if err == nil && len(f.pending) > 0 {
		f.done.Unfinished = true
	}
	return err
}

// unblocksByGroup reports whether pending prefixes are unblocked by the delete group.
func (f *flush) unblocksByGroup() bool {
	return len(f.pending) > f.config.SingleMax && !f.isForeign(f.config.DeleteGroup)
}

// unblockGroup unblocks by group. If the appliance refuses that, those that
// have timed out by themselves may be why: it then leaves the others pending.
func (f *flush) unblockGroup(ctx context.Context) error {
	session, err := f.monitor(ctx, true)
	if err != nil {
		return err
	}
	err = blacklist.Unblock(ctx, session, f.config.DeleteGroup)
	if err == nil {
		f.unblocked(f.pending)
		return nil
	}
	if !serverd.IsRefused(err) {
		return fmt.Errorf("unblock the %d addresses of group %s: %w", len(f.pending), f.config.DeleteGroup, err)
	}
	listed, err := blacklist.Show(ctx, session)
	if err != nil {
		return err
	}
	f.unblocked(slices.DeleteFunc(slices.Clone(f.pending), listed.MayHold))
	return nil
}

// unseen is what to try when a session does not know a group that was written.
func (f *flush) unseen(err error) string {
	if !serverd.IsRefused(err) || f.config.ReloadCommand != "" {
		return ""
	}
	return "; if the appliance does not see what was written, set reload_command: enobject"
}

func never() bool { return false }

func isRange(p netip.Prefix) bool { return !p.IsSingleIP() }
