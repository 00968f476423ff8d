package stormshield

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
)

// maxAttempts is how often a flush compares the files anew because somebody
// else changed them under its hands.
const maxAttempts = 5

// Apply brings a change about. Every step may fail and be asked for again:
// blocking twice renews, unblocking twice is once, and what the files say
// already is not written again. What was acknowledged until then is in Done.
func (a *Appliance) Apply(ctx context.Context, change Change) (Done, error) {
	f := a.flush(ctx, change)
	defer f.close(ctx)
	err := f.run(ctx)
	if f.files != nil {
		f.done.Files = f.files.state
	}
	return f.done, err
}

// flush is one run of Apply: its connections, what is left to do, and what came
// of it so far.
type flush struct {
	*Appliance
	change Change
	done   Done

	// What the files are still to be made to say.
	add    []netip.Prefix // lists as standing
	owed   []netip.Prefix // names, because it is yet to be taken off the blacklist
	remove []netip.Prefix // forgets

	total   int // how many bans are in force
	session *serverd.Session
	stale   bool // the files were written after the session was opened
	leaving sync.WaitGroup

	files   *files
	connect func() (*files, error) // logs in over SSH, once
	dialed  bool                   // connect has been called
}

func (a *Appliance) flush(ctx context.Context, change Change) *flush {
	return &flush{
		Appliance: a, change: change, done: Done{Files: change.Files},
		total: change.Total, add: change.Add, owed: change.Unblock, remove: without(change.Remove, change.Unblock),
		connect: sync.OnceValues(func() (*files, error) { return a.openFiles(ctx, change.Files) }),
	}
}

func (f *flush) run(ctx context.Context) error {
	few := len(f.change.Block) <= f.config.SingleMax
	if err := f.singly(ctx, few); err != nil {
		return err
	}
	if few && !f.change.Reassert && len(f.owed) == 0 && !slices.ContainsFunc(f.change.Block, func(b Block) bool { return isRange(b.Prefix) }) {
		f.leave(ctx)
	}
	if err := f.write(ctx); err != nil {
		return err
	}
	f.done.Listed = true
	var err error
	if f.change.Reassert || !few {
		err = f.assert(ctx)
	} else {
		err = f.block(ctx, isRange)
	}
	if err != nil {
		return err
	}
	for len(f.owed) > 0 {
		if err := f.unblock(ctx); err != nil {
			return err
		}
		if err := f.write(ctx); err != nil { // which may find more that is owed
			return err
		}
	}
	f.done.Cleared = true
	return nil
}

// singly does what needs no file, and does it before any file is touched: it
// blocks and unblocks single addresses, if they are few.
func (f *flush) singly(ctx context.Context, few bool) error {
	if few {
		if err := f.block(ctx, netip.Prefix.IsSingleIP); err != nil {
			return err
		}
	}
	addresses := slices.DeleteFunc(slices.Clone(f.owed), isRange)
	if len(addresses) == 0 || len(f.owed) > f.config.SingleMax {
		return nil
	}
	list, err := f.blacklist(ctx, false)
	if err != nil {
		return err
	}
	removed, err := list.removeEach(ctx, addresses)
	f.unblocked(removed)
	if err != nil && !serverd.Refused(err) { // refused ones are tried again when the new bans are in the files
		return fmt.Errorf("unblock %s: %w", addresses[len(removed)], err)
	}
	return nil
}

// unblocked takes note of what is off the blacklist: the files need not name it
// any more.
func (f *flush) unblocked(prefixes []netip.Prefix) {
	f.done.Unblocked = append(f.done.Unblocked, prefixes...)
	f.remove = append(f.remove, prefixes...)
	f.owed = without(f.owed, prefixes)
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
	if f.total == 0 {
		return nil
	}
	list, err := f.blacklist(ctx, true)
	if err != nil {
		return err
	}
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
	listed, err := list.listed(ctx)
	if err != nil {
		return err
	}
	f.unblocked(slices.DeleteFunc(slices.Clone(f.owed), listed.has))
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
		f.leave(ctx)
	}
	if f.session == nil {
		session, err := f.monitor(ctx)
		if err != nil {
			return blacklist{}, err
		}
		f.session, f.stale = session, false
		// The login was not refused, so the one over SSH may go on beside: over
		// a slow link most of a small flush is waiting.
		f.dial()
	}
	return blacklist{f.session}, nil
}

// leave ends the session while the flush goes on.
func (f *flush) leave(ctx context.Context) {
	if session := f.session; session != nil {
		f.session = nil
		f.leaving.Go(func() { release(ctx, session) })
	}
}

// dial begins to log in over SSH.
func (f *flush) dial() {
	if !f.dialed {
		f.dialed = true
		f.leaving.Go(func() { _, _ = f.connect() })
	}
}

// write makes the files say what they must: list what stands, name what is
// owed, and forget the rest. If they are not what they are thought to be, or
// nobody knows, they are read and compared whole.
func (f *flush) write(ctx context.Context) (err error) {
	f.dialed = true
	if f.files, err = f.connect(); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		changed, err := f.writeOnce(ctx)
		if err == nil {
			f.add, f.remove = nil, nil
			return f.noteWritten(ctx, changed)
		}
		f.files.forget()
		if !errors.Is(err, edit.ErrChanged) || attempt == maxAttempts {
			return err
		}
	}
}

func (f *flush) writeOnce(ctx context.Context) (changed bool, err error) {
	patch := objects.Patch{Group: f.config.Group, DeleteGroup: f.config.DeleteGroup}
	complete := true
	if f.files.state.Known() || f.files.known {
		patch.Standing = objects.NewSet(slices.Clone(f.add))
	} else {
		survey, err := f.compare(ctx)
		if err != nil {
			return false, err
		}
		patch.Standing, complete = objects.NewSet(survey.Amiss), survey.Complete
	}
	patch.Absent = objects.NewSet(slices.Clone(f.remove))
	if owed := objects.NewSet(slices.Clone(f.owed)); len(f.owed) > f.config.SingleMax {
		patch.Ended = owed
	} else { // one by one: a range goes by its name, and nothing needs a group
		patch.Named = owed
	}
	if patch.Empty() && !complete { // the groups are made here
		return f.files.replace(ctx, patch.Apply(f.files.text.Object, f.files.text.Objectgroup))
	}
	return f.files.patch(ctx, patch)
}

// compare reads the files and looks what they say. What they name though it is
// not in force is owed from then on.
func (f *flush) compare(ctx context.Context) (objects.Survey, error) {
	if err := f.files.read(ctx); err != nil {
		return objects.Survey{}, err
	}
	standing, err := f.change.Standing(ctx, slices.Collect(objects.Members(f.files.text.Objectgroup, f.config.Group)))
	if err != nil {
		return objects.Survey{}, err
	}
	inForce := objects.NewSet(standing)
	f.total = inForce.Len()
	survey := objects.Take(f.files.text.Object, f.files.text.Objectgroup, f.config.Group, f.config.DeleteGroup, inForce)
	f.owed = slices.DeleteFunc(slices.Clone(f.owed), inForce.Has)
	named := without(survey.Leftovers, f.owed)
	unexplained := without(named, slices.Concat(f.remove, f.done.Unblocked))
	f.remove = without(named, unexplained)
	f.owed = append(f.owed, unexplained...)
	f.done.Leftovers += len(unexplained)
	return survey, nil
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
	f.leave(ctx)
	f.leaving.Wait()
	if f.dialed {
		if files, err := f.connect(); err == nil {
			files.close()
		}
	}
}

func isRange(p netip.Prefix) bool { return !p.IsSingleIP() }

// without returns the prefixes that are not among some others.
func without(prefixes, others []netip.Prefix) []netip.Prefix {
	if len(prefixes) == 0 || len(others) == 0 {
		return prefixes
	}
	set := objects.NewSet(slices.Clone(others))
	return slices.DeleteFunc(slices.Clone(prefixes), set.Has)
}
