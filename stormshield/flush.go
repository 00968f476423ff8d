package stormshield

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
)

// Apply applies a change. Every step may fail and be done again: blocking twice renews an entry, and unblocking twice is the
// same as once. The outcome counts also with an error. A failed login is an [appliance.LoginError], and another serial number
// an [appliance.OtherApplianceError].
func (a *Appliance) Apply(ctx context.Context, change appliance.Change) (appliance.Outcome, error) {
	if err := change.Begin(); err != nil {
		return appliance.Outcome{Mark: change.Mark}, err
	}
	f := a.flush(ctx, change)
	defer f.close(ctx)
	err := f.run(ctx)
	if f.files != nil {
		f.done.Mark = f.files.state.String()
	}
	if len(f.foreign) > 0 || f.done.Leftovers > 0 && !f.done.Cleared {
		f.done.Mark = "" // only a flush that reads the files whole finds foreign members and leftovers again
	}
	if err != nil {
		f.done.Refused = nil // the next flush tries them again
		return f.done, err
	}
	f.done.At = time.Now()
	f.done.Warning, f.done.FilesWarning = f.refusal(), foreignWarning(f.foreign)
	return f.done, nil
}

// flush is one run of Apply. It holds the connections, the changes that are left, and the outcome so far.
type flush struct {
	*Appliance
	change appliance.Change
	done   appliance.Outcome

	// The next write of the files must change these.
	add     []netip.Prefix // bans that the group must list
	pending []netip.Prefix // prefixes that must still be unblocked, and so stay in the files
	remove  []netip.Prefix // prefixes that the files must not name any more

	refused error     // why the appliance refused the first of done.Refused
	foreign []foreign // groups that must not be named in a command

	total       int // how many bans are in force
	permit      func() error
	askedSerial bool // the flush has asked for the serial number
	keepsNamed  bool // filter rules name old groups
	session     *serverd.Session
	outdated    bool           // the files may have been written since the session was opened
	background  sync.WaitGroup // logouts, and the login over SSH

	files   *files
	connect func() (*files, error) // logs in over SSH, once
	dialed  bool                   // connect has been called
}

func (a *Appliance) flush(ctx context.Context, change appliance.Change) *flush {
	state := edit.ParseState(change.Mark)
	if len(change.OldGroups) > 0 {
		state = edit.State{} // the old groups must be read
	}
	permit := permitOf(change)
	return &flush{
		permit:    permit,
		Appliance: a, change: change, done: appliance.Outcome{Mark: state.String()},
		total: change.InForce, add: change.Add, pending: change.Unblock, remove: without(change.Remove, change.Unblock),
		connect: sync.OnceValues(func() (*files, error) { return a.openFiles(ctx, state, permit) }),
	}
}

func (f *flush) run(ctx context.Context) error {
	if f.change.Files {
		return f.runWithFiles(ctx)
	}
	return f.runOverAPI(ctx)
}

// runOverAPI applies the changes that need no files.
func (f *flush) runOverAPI(ctx context.Context) error {
	if err := f.blockEach(ctx, f.change.Block, f.timeIsUp()); err != nil {
		return err
	}
	if len(f.pending) > 0 {
		if err := f.unblockEach(ctx); err != nil {
			return err
		}
	}
	if !f.change.Reassert {
		return nil
	}
	if err := f.reassertOverAPI(ctx); err != nil {
		return err
	}
	return f.confirmRule(ctx)
}

func (f *flush) reassertOverAPI(ctx context.Context) error {
	switch {
	case f.config.Rule.Alone:
		return nil
	case f.config.WithoutSSH || !f.change.GroupListsAll:
		return f.blockMissing(ctx)
	}
	return f.assert(ctx)
}

// runWithFiles applies all changes. Those that need no files come first.
func (f *flush) runWithFiles(ctx context.Context) error {
	few := len(f.change.Block) <= f.config.SingleMax
	if f.config.Rule.Alone && f.change.AskSerial {
		if _, err := f.monitor(ctx, false); err != nil {
			return err
		}
	}
	if err := f.applySingles(ctx, few); err != nil {
		return err
	}
	if few && !f.change.Reassert && len(f.pending) == 0 && !slices.ContainsFunc(f.change.Block, func(b appliance.Ban) bool { return isRange(b.Prefix) }) {
		f.endSession(ctx)
	}
	if err := f.connectFiles(); err != nil {
		return filesError(ctx, err)
	}
	if begin := f.change.BeginFiles; begin != nil {
		if err := begin(); err != nil {
			return err
		}
	}
	if err := f.write(ctx); err != nil {
		return filesError(ctx, err)
	}
	f.done.Listed = true
	if err := f.blockListed(ctx, few); err != nil {
		return err
	}
	if err := f.unblockPending(ctx); err != nil {
		return err
	}
	if !f.done.Unfinished { // everything is blocked
		if err := f.removeOldGroups(ctx); err != nil {
			return filesError(ctx, err)
		}
	}
	f.done.Cleared = len(f.pending) == 0
	if err := f.activateRule(ctx); err != nil {
		return filesError(ctx, err)
	}
	f.done.Compared = time.Now()
	return f.finishRule(ctx)
}

// unblockPending unblocks the pending prefixes, and then removes them from the files.
func (f *flush) unblockPending(ctx context.Context) error {
	for len(f.pending) > 0 && !f.done.Unfinished {
		if err := f.unblock(ctx); err != nil {
			return err
		}
		if err := f.write(ctx); err != nil { // a comparison may find more that is pending
			return filesError(ctx, err)
		}
	}
	return nil
}

// filesError returns the error for files that cannot be written, also if a command takes all the time of the flush. A refused login and a
// cancelled context stay what they are, and so does a denied permit.
func filesError(ctx context.Context, err error) error {
	if errors.As(err, new(*appliance.LoginError)) || errors.As(err, new(*appliance.NotPermittedError)) || errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	return &appliance.FilesError{Err: err}
}

// applySingles blocks and unblocks single addresses, if they are few. That needs no write of the files, so it comes first.
func (f *flush) applySingles(ctx context.Context, few bool) error {
	if few {
		if err := f.block(ctx, netip.Prefix.IsSingleIP); err != nil {
			return err
		}
	}
	addresses := slices.DeleteFunc(slices.Clone(f.pending), isRange)
	if len(addresses) == 0 || len(f.pending) > f.config.SingleMax {
		return nil
	}
	session, err := f.monitor(ctx, false)
	if err != nil {
		return err
	}
	removed, err := blacklist.UnblockEach(ctx, session, addresses, never)
	f.setUnblocked(removed)
	if serverd.IsRefused(err) { // the flush tries it again when the new bans are in the files
		return nil
	}
	return err
}

// setUnblocked records prefixes that the appliance unblocked. The next write removes them from the files.
func (f *flush) setUnblocked(prefixes []netip.Prefix) {
	f.done.Unblocked = append(f.done.Unblocked, prefixes...)
	f.remove = append(f.remove, prefixes...)
	f.pending = without(f.pending, prefixes)
}

// monitor returns the session that may change the blacklist, and opens one if there is none. With afterWrite it returns a session
// that was opened after the last write of the files, and so sees it.
func (f *flush) monitor(ctx context.Context, afterWrite bool) (*serverd.Session, error) {
	if f.session != nil && afterWrite && f.outdated {
		f.endSession(ctx)
	}
	if f.session == nil {
		session, err := f.openSession(ctx, afterWrite)
		if err != nil {
			return nil, err
		}
		f.session = session
		// The API accepted the login, so the one over SSH may begin. Over a slow link, a small flush mostly waits.
		if f.change.Files {
			f.dial()
		}
		if err := f.identify(ctx, session); err != nil {
			return nil, err
		}
	}
	return f.session, nil
}

// openSession resumes the session of an earlier flush, or opens one. Anybody may have written the files since an earlier flush, so with
// afterWrite openSession opens one.
func (f *flush) openSession(ctx context.Context, afterWrite bool) (*serverd.Session, error) {
	if !afterWrite {
		if session := f.resumeSession(ctx); session != nil {
			f.outdated = true
			return session, nil
		}
	}
	f.outdated = false
	return f.openMonitor(ctx, f.permit)
}

// endSession ends the session while the flush goes on.
func (f *flush) endSession(ctx context.Context) {
	if session := f.session; session != nil {
		f.session = nil
		f.background.Go(func() { Release(ctx, session) })
	}
}

// dial begins to log in over SSH.
func (f *flush) dial() {
	if !f.dialed {
		f.dialed = true
		f.background.Go(func() { _, _ = f.connect() })
	}
}

// connectFiles logs in over SSH, unless that was done.
func (f *flush) connectFiles() (err error) {
	f.dialed = true
	f.files, err = f.connect()
	return err
}

func (f *flush) close(ctx context.Context) {
	f.keepSession(ctx)
	f.endSession(ctx)
	f.background.Wait()
	if f.dialed {
		if files, err := f.connect(); err == nil {
			files.close()
		}
	}
}

// without returns the prefixes that are not among some others.
func without(prefixes, others []netip.Prefix) []netip.Prefix {
	if len(prefixes) == 0 || len(others) == 0 {
		return prefixes
	}
	set := objects.NewSet(slices.Clone(others))
	return slices.DeleteFunc(slices.Clone(prefixes), set.Has)
}
