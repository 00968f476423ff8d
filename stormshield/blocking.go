package stormshield

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/stormshield/serverd"
)

// block puts the bans that are of a kind on the blacklist, one by one. An
// address needs no file; a range is named by its object, which a session sees
// only if it was opened after the write. What the appliance refuses, such as an
// IPv6 address where it has no IPv6, keeps no other ban from being enforced.
func (f *flush) block(ctx context.Context, kind func(netip.Prefix) bool) error {
	for _, b := range f.change.Block {
		if !kind(b.Prefix) {
			continue
		}
		f.doing("blocking %s", b.Prefix)
		list, err := f.blacklist(ctx, !b.Prefix.IsSingleIP())
		if err != nil {
			return err
		}
		timeout := min(b.Timeout, f.config.BlacklistTimeout)
		if err := list.add(ctx, entryName(b.Prefix), timeout); err != nil {
			err = fmt.Errorf("block %s: %w", b.Prefix, err)
			if !serverd.Refused(err) {
				return err
			}
			if f.refused.First == nil {
				f.refused.First = err
			}
			f.refused.Refused = append(f.refused.Refused, b.Prefix)
			continue
		}
		f.done.Blocked = append(f.done.Blocked, Blocked{b.Prefix, time.Now().Add(timeout)})
	}
	return nil
}

// assert puts everything standing on the blacklist by the group.
func (f *flush) assert(ctx context.Context) error {
	if f.total == 0 {
		return nil
	}
	list, err := f.blacklist(ctx, true)
	if err != nil {
		return err
	}
	f.doing("blocking the %d bans in force", f.total)
	now := time.Now()
	if err := list.add(ctx, f.config.Group, f.config.BlacklistTimeout); err != nil {
		return fmt.Errorf("block the %d addresses of group %s: %w%s", f.total, f.config.Group, err, f.unseen(err))
	}
	f.done.Asserted = now
	return nil
}

// unblock takes what is owed off the blacklist: few one by one, many by the
// group that lists them.
func (f *flush) unblock(ctx context.Context) error {
	f.doing("unblocking %d", len(f.owed))
	if len(f.owed) > f.config.SingleMax {
		if err := f.unblockGroup(ctx); err != nil {
			return err
		}
	}
	if len(f.owed) == 0 {
		return nil
	}
	list, err := f.blacklist(ctx, slices.ContainsFunc(f.owed, isRange))
	if err != nil {
		return err
	}
	owed := f.owed
	removed, err := list.removeEach(ctx, owed)
	f.unblocked(removed)
	if err != nil {
		return fmt.Errorf("unblock %s: %w", owed[len(removed)], err)
	}
	return nil
}

// unblockGroup unblocks by group. If the appliance refuses that, those that
// have timed out by themselves may be why: it then leaves the others owed.
func (f *flush) unblockGroup(ctx context.Context) error {
	list, err := f.blacklist(ctx, true)
	if err != nil {
		return err
	}
	err = list.remove(ctx, f.config.DeleteGroup)
	if err == nil {
		f.unblocked(f.owed)
		return nil
	}
	if !serverd.Refused(err) {
		return fmt.Errorf("unblock the %d addresses of group %s: %w", len(f.owed), f.config.DeleteGroup, err)
	}
	listed, err := list.show(ctx)
	if err != nil {
		return err
	}
	f.unblocked(slices.DeleteFunc(slices.Clone(f.owed), listed.mayHold))
	return nil
}

// unseen is what to try when a session does not know a group that was written.
func (f *flush) unseen(err error) string {
	if !serverd.Refused(err) || f.config.ReloadCommand != "" {
		return ""
	}
	return "; if the appliance does not see what was written, set reload_command: enobject"
}

func isRange(p netip.Prefix) bool { return !p.IsSingleIP() }
