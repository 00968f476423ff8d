package stormshield

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
)

// Apply brings a change about. Every step may fail and be asked for again:
// blocking twice renews, unblocking twice is once, and the files are compared
// with what they must hold. What was acknowledged until then is in Done.
func (a *Appliance) Apply(ctx context.Context, change Change) (Done, error) {
	f := &flush{Appliance: a, change: change, standing: objects.NewSet(change.Standing)}
	defer f.close(ctx)
	err := f.run(ctx)
	return f.done, err
}

// flush is one run of Apply: its connections and what came of it so far.
type flush struct {
	*Appliance
	change   Change
	standing objects.Set
	done     Done

	session *serverd.Session
	stale   bool // the files were written after the session was opened
	files   *files
}

func (f *flush) run(ctx context.Context) error {
	few := len(f.change.Block) <= f.config.SingleMax
	if few {
		if err := f.block(ctx, netip.Prefix.IsSingleIP); err != nil {
			return err
		}
	}
	ended, err := f.writeFiles(ctx)
	if err != nil {
		return err
	}
	if f.change.Reassert || !few {
		err = f.assert(ctx)
	} else {
		err = f.block(ctx, func(p netip.Prefix) bool { return !p.IsSingleIP() })
	}
	if err != nil {
		return err
	}
	if err := f.unblock(ctx, ended); err != nil {
		return err
	}
	return f.clearFiles(ctx)
}

// block puts the bans that are of a kind on the blacklist, one by one. An
// address needs no file; a range is named by its object, which a session sees
// only if it was opened after the write.
func (f *flush) block(ctx context.Context, kind func(netip.Prefix) bool) error {
	for _, b := range f.change.Block {
		if !kind(b.Prefix) {
			continue
		}
		list, err := f.blacklist(ctx, !b.Prefix.IsSingleIP())
		if err != nil {
			return err
		}
		timeout := min(b.Timeout, f.config.BlacklistTimeout)
		if err := list.add(ctx, entryName(b.Prefix), timeout); err != nil {
			return fmt.Errorf("block %s: %w", b.Prefix, err)
		}
		f.done.Blocked = append(f.done.Blocked, Blocked{b.Prefix, time.Now().Add(timeout)})
	}
	return nil
}

// assert puts everything standing on the blacklist by the group.
func (f *flush) assert(ctx context.Context) error {
	if f.standing.Len() == 0 {
		return nil
	}
	list, err := f.blacklist(ctx, true)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := list.add(ctx, f.config.Group, f.config.BlacklistTimeout); err != nil {
		return fmt.Errorf("block the %d addresses of group %s: %w%s", f.standing.Len(), f.config.Group, err, f.unseen(err))
	}
	f.done.Asserted = now
	return nil
}

// unblock takes ended bans off the blacklist: few one by one, many by the
// group that lists them.
func (f *flush) unblock(ctx context.Context, ended []netip.Prefix) error {
	if len(ended) == 0 {
		return nil
	}
	if len(ended) > f.config.SingleMax {
		list, err := f.blacklist(ctx, true)
		if err != nil {
			return err
		}
		err = list.remove(ctx, f.config.DeleteGroup)
		if err == nil {
			f.done.Unblocked = append(f.done.Unblocked, ended...)
			return nil
		}
		if !serverd.Refused(err) {
			return fmt.Errorf("unblock the %d addresses of group %s: %w", len(ended), f.config.DeleteGroup, err)
		}
		listed, err := list.listed(ctx)
		if err != nil {
			return err
		}
		// Those that timed out may be why the group was refused.
		remaining := slices.DeleteFunc(slices.Clone(ended), func(p netip.Prefix) bool {
			if listed.has(p) {
				return false
			}
			f.done.Unblocked = append(f.done.Unblocked, p)
			return true
		})
		ended = remaining
	}
	ranges := slices.ContainsFunc(ended, func(p netip.Prefix) bool { return !p.IsSingleIP() })
	list, err := f.blacklist(ctx, ranges)
	if err != nil {
		return err
	}
	removed, err := list.removeEach(ctx, ended)
	f.done.Unblocked = append(f.done.Unblocked, removed...)
	if err != nil {
		return fmt.Errorf("unblock %s: %w", ended[len(removed)], err)
	}
	return nil
}

// unseen is what to try when a session does not know a group that was written.
func (f *flush) unseen(err error) string {
	if !serverd.Refused(err) || f.config.ReloadCommand != "" {
		return ""
	}
	return "; if the appliance does not see what was written, set reload_command: enobject"
}

// blacklist returns the blacklist in a session, opening one if there is none;
// with files, in one that sees the files as they are now.
func (f *flush) blacklist(ctx context.Context, files bool) (blacklist, error) {
	if f.session != nil && files && f.stale {
		release(ctx, f.session)
		f.session = nil
	}
	if f.session == nil {
		session, err := f.monitor(ctx)
		if err != nil {
			return blacklist{}, err
		}
		f.session, f.stale = session, false
	}
	return blacklist{f.session}, nil
}

// writeFiles makes the files define and list everything standing, and define
// what must be named to be unblocked. It returns all that must be unblocked:
// the ended bans, and leftovers that nothing asked for.
func (f *flush) writeFiles(ctx context.Context) (ended []netip.Prefix, err error) {
	if f.files == nil {
		if f.files, err = f.openFiles(ctx); err != nil {
			return nil, err
		}
	}
	before := f.files.written
	err = f.files.edit(ctx, func() error {
		ended = f.ended()
		named := objects.NewSet(slices.Clone(ended))
		listed := named
		if len(ended) <= f.config.SingleMax { // one by one: only ranges need an object, and nothing a group
			named, listed = objects.NewSet(slices.DeleteFunc(slices.Clone(ended), netip.Prefix.IsSingleIP)), objects.Set{}
		}
		err := f.files.object.edit(ctx, func(text []byte) []byte {
			return objects.Define(text, f.standing.Union(named))
		})
		if err != nil {
			return err
		}
		return f.files.objectgroup.edit(ctx, func(text []byte) []byte {
			text = objects.SetMembers(text, f.config.Group, f.standing)
			return objects.SetMembers(text, f.config.DeleteGroup, listed)
		})
	})
	if err != nil {
		return nil, err
	}
	return ended, f.noteWritten(ctx, f.files.written > before)
}

// clearFiles empties the group of ended bans and drops the objects that no
// ban and no group of the administrator needs.
func (f *flush) clearFiles(ctx context.Context) error {
	err := f.files.edit(ctx, func() error {
		err := f.files.objectgroup.edit(ctx, func(text []byte) []byte {
			return objects.SetMembers(text, f.config.DeleteGroup, objects.Set{})
		})
		if err != nil {
			return err
		}
		used := objects.Referenced(f.files.objectgroup.text, f.config.Group, f.config.DeleteGroup)
		return f.files.object.edit(ctx, func(text []byte) []byte {
			return objects.Retain(text, f.standing, used)
		})
	})
	f.done.Filed = err == nil
	return err
}

// ended returns what must be unblocked according to the change and the files
// as they were read.
func (f *flush) ended() []netip.Prefix {
	asked := objects.NewSet(slices.Clone(f.change.Unblock))
	var left []netip.Prefix
	for p := range f.files.leftovers(f.config.Group, f.config.DeleteGroup) {
		if !f.standing.Has(p) && !asked.Has(p) {
			left = append(left, p)
		}
	}
	leftovers := objects.NewSet(left)
	f.done.Leftovers = leftovers.Len()
	return slices.Collect(asked.Union(leftovers).All())
}

// noteWritten takes note that the files changed under the open session, and
// has the appliance read them if it was told how.
func (f *flush) noteWritten(ctx context.Context, changed bool) error {
	if !changed {
		return nil
	}
	f.stale = true
	if f.config.ReloadCommand == "" {
		return nil
	}
	if _, err := f.files.shell.Run(ctx, f.config.ReloadCommand, nil); err != nil {
		return fmt.Errorf("run %s (reload_command): %w", f.config.ReloadCommand, err)
	}
	return nil
}

func (f *flush) close(ctx context.Context) {
	if f.session != nil {
		release(ctx, f.session)
	}
	if f.files != nil {
		f.files.close()
	}
}
