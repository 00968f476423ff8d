package stormshield

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
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

// blockEach blocks one by one until stop reports true. An address needs no object. A range is named by its object, which a
// session sees only if it was opened after the write. If the appliance refuses a ban, such as an IPv6 address where it has no
// IPv6, blockEach still blocks the others.
func (f *flush) blockEach(ctx context.Context, bans []appliance.Ban, stop func() bool) error {
	for i, b := range bans {
		f.progress("blocking %s", b.Prefix)
		session, err := f.monitor(ctx, !b.Prefix.IsSingleIP())
		if err != nil {
			return err
		}
		timeout := f.entryTimeout(b.Until)
		err = blacklist.Block(ctx, session, blacklist.Name(b.Prefix), timeout)
		switch {
		case err == nil:
			f.done.Blocked = append(f.done.Blocked, appliance.Entry{Prefix: b.Prefix, Expires: time.Now().Add(timeout)})
			if slices.Contains(f.change.Cut, b.Prefix) {
				err = f.cutConnections(ctx, session, b.Prefix)
			}
		case serverd.IsRefused(err):
			f.refused = cmp.Or(f.refused, fmt.Errorf("block %s: %w", b.Prefix, err))
			f.done.Refused = append(f.done.Refused, b.Prefix)
			err = nil
		default:
			err = fmt.Errorf("block %s: %w", b.Prefix, err)
		}
		if err != nil {
			return err
		}
		if stop() && i+1 < len(bans) {
			f.done.Unfinished = true
			break
		}
	}
	return nil
}

// entryTimeout returns how long the entry of a ban lasts. Without SSH, flushes renew each entry by itself. So entries then end at random
// times in the last quarter of their life, and flushes do not renew all of them at once.
func (f *flush) entryTimeout(until time.Time) time.Duration {
	left, life := time.Until(until), f.config.BlacklistTimeout
	if f.config.WithoutSSH && left > life {
		life -= rand.N(life/4 + 1) //nolint:gosec // nobody gains by guessing it
	}
	return min(left, life)
}

// cutEach cuts the connections of the addresses that the group alone blocked.
func (f *flush) cutEach(ctx context.Context, session *serverd.Session) error {
	stop := f.timeIsUp()
	var done []netip.Prefix // blockEach cut these
	for _, e := range f.done.Blocked {
		done = append(done, e.Prefix)
	}
	for _, p := range without(f.change.Cut, done) {
		if f.done.CutWarning != nil || stop() {
			break
		}
		if err := f.cutConnections(ctx, session, p); err != nil {
			return err
		}
	}
	return nil //nolint:nilerr // CutWarning is no error of the flush
}

// cutConnections cuts the established connections of a blocked address. A refusal is a warning, after which this flush cuts no more.
func (f *flush) cutConnections(ctx context.Context, session *serverd.Session, p netip.Prefix) error {
	if f.done.CutWarning != nil {
		return nil //nolint:nilerr // CutWarning is no error of the flush
	}
	_, err := session.Run(ctx, "MONITOR FLUSH STATE "+p.Addr().String())
	if err == nil {
		return nil
	}
	err = fmt.Errorf("cut the connections of %s: %w", p.Addr(), err)
	if serverd.IsRefused(err) || serverd.IsForbidden(err) {
		f.done.CutWarning = err
		return nil
	}
	return err
}

// refusal returns the warning that the appliance refused bans; nil: it refused none.
func (f *flush) refusal() error {
	switch n := len(f.done.Refused); n {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("the appliance refuses one of the bans, and enforces all others: %w", f.refused)
	default:
		return fmt.Errorf("the appliance refuses %d of the bans, and enforces all others; the first: %w", n, f.refused)
	}
}

// blockListed blocks the bans of the files: by the group, or one by one the ranges alone if the few addresses are blocked already.
func (f *flush) blockListed(ctx context.Context, few bool) error {
	switch {
	case f.config.Rule.Alone:
		return nil
	case f.change.Reassert || !few:
		return f.assert(ctx)
	}
	return f.block(ctx, isRange)
}

// assert blocks everything in force by the group, or one by one if the group has foreign members.
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
	f.progress("blocking the %d bans in force", f.total)
	now := time.Now()
	if err := blacklist.Block(ctx, session, f.config.Group, f.config.BlacklistTimeout); err != nil {
		if serverd.IsRefused(err) {
			f.done.Mark = "" // the next re-assert compares the files: they may lack the group, such as after a failover
		}
		return fmt.Errorf("block the %d addresses of group %s: %w%s", f.total, f.config.Group, err, f.reloadHint(err))
	}
	f.setAsserted(now)
	return f.cutEach(ctx, session)
}

// blockMissing is the re-assert that names no group. It blocks the bans in force that are not on the blacklist, such as after a restart
// of the appliance.
func (f *flush) blockMissing(ctx context.Context) error {
	began := time.Now()
	bans, err := f.change.BansWithEntry(ctx)
	if err != nil {
		return err
	}
	f.progress("comparing the blacklist with the %d bans in force", len(bans))
	session, err := f.monitor(ctx, false)
	if err != nil {
		return err
	}
	listed, err := blacklist.Show(ctx, session)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(bans, func(b appliance.Ban) bool {
		return listed.HasEntry(b.Prefix) || slices.Contains(f.done.Refused, b.Prefix)
	})
	if err := f.blockEach(ctx, missing, f.timeIsUp()); err != nil {
		return err
	}
	if !f.done.Unfinished {
		f.done.Confirmed = began
	}
	return nil
}

// setAsserted records when everything in force got an entry for BlacklistTimeout.
func (f *flush) setAsserted(at time.Time) {
	f.done.Asserted, f.done.AssertedUntil = at, at.Add(f.config.BlacklistTimeout)
}

// unblock unblocks the pending prefixes: a few one by one, many by the delete group, unless that has foreign members.
func (f *flush) unblock(ctx context.Context) error {
	f.progress("unblocking %d", len(f.pending))
	if f.unblocksByGroup() {
		if err := f.unblockGroup(ctx); err != nil {
			return err
		}
	}
	if len(f.pending) == 0 {
		return nil
	}
	return f.unblockEach(ctx)
}

// unblockEach unblocks the pending prefixes one by one.
func (f *flush) unblockEach(ctx context.Context) error {
	session, err := f.monitor(ctx, slices.ContainsFunc(f.pending, isRange))
	if err != nil {
		return err
	}
	removed, err := blacklist.UnblockEach(ctx, session, f.pending, f.timeIsUp())
	f.setUnblocked(removed)
	if err == nil && len(f.pending) > 0 {
		f.done.Unfinished = true
	}
	return err
}

// unblocksByGroup reports whether pending prefixes are unblocked by the delete group.
func (f *flush) unblocksByGroup() bool {
	return len(f.pending) > f.config.SingleMax && !f.isForeign(f.config.DeleteGroup)
}

// unblockGroup unblocks by group. The appliance may refuse that because entries have timed out. Then the prefixes that SHOW may
// still list stay pending.
func (f *flush) unblockGroup(ctx context.Context) error {
	session, err := f.monitor(ctx, true)
	if err != nil {
		return err
	}
	err = blacklist.Unblock(ctx, session, f.config.DeleteGroup)
	if err == nil {
		f.setUnblocked(f.pending)
		return nil
	}
	if !serverd.IsRefused(err) {
		return fmt.Errorf("unblock the %d addresses of group %s: %w", len(f.pending), f.config.DeleteGroup, err)
	}
	listed, err := blacklist.Show(ctx, session)
	if err != nil {
		return err
	}
	f.setUnblocked(slices.DeleteFunc(slices.Clone(f.pending), listed.MayHold))
	return nil
}

// reloadHint returns the hint for a session that does not know a group in the files.
func (f *flush) reloadHint(err error) string {
	if !serverd.IsRefused(err) || f.config.ReloadCommand != "" {
		return ""
	}
	return "; if the appliance does not see what was written, set reload_command: enobject"
}

func never() bool { return false }

func isRange(p netip.Prefix) bool { return !p.IsSingleIP() }
