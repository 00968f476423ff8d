package acceptance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/serverd"
)

// What is blocked and written to try an appliance: addresses for documentation
// (RFC 5737, RFC 3849), which nobody has, and groups of their own, so that the
// plugin may be at work meanwhile and leaves them alone.
var (
	trialAddress = netip.MustParsePrefix("198.51.100.253/32")
	trialEnded   = netip.MustParsePrefix("198.51.100.254/32")
	trialRange   = netip.MustParsePrefix("198.51.100.240/29")
	trialIPv6    = netip.MustParsePrefix("2001:db8::c5ec/128")
)

const (
	trialGroup      = "CrowdsecCheck"
	trialEndedGroup = "CrowdsecCheckEnded"

	// trialTime is how long an entry lasts if its removal fails.
	trialTime = 5 * time.Minute
	// patience is how long a write is tried again while others write.
	patience = time.Minute
)

func trialPrefixes() []netip.Prefix {
	return []netip.Prefix{trialAddress, trialEnded, trialRange, trialIPv6}
}

// CheckAndWrite does what Check does, and then tries what only writing shows. It blocks
// addresses for documentation, writes their objects and groups into the files, compares
// what the appliance makes of them, and removes everything. It touches nothing else on
// the appliance. A flush may run at the same time. It opens several sessions of the
// API, one after another.
func CheckAndWrite(ctx context.Context, config stormshield.Config) []Finding {
	t := &trial{checker: newChecker(config)}
	defer t.close()
	t.check(ctx)
	if t.works(blacklistRight) && t.works(apiLogin) {
		t.run(ctx)
	}
	return t.report(slices.Concat(checked, tried)...)
}

// trial is one run of CheckAndWrite.
type trial struct {
	*checker
	session *serverd.Session
	files   *edit.Files // nil: they cannot be written
	before  edit.Texts  // what they were
	is      edit.Texts  // what they are
	wrote   bool        // they may name what is tried
	blocked bool        // the blacklist may
	shows   bool        // SHOW prints a line for a blocked address
	unread  string      // a line that SHOW printed last and in which nothing can be read
	sees    bool        // a new session knows what was written
	reload  bool        // but only after enobject
}

func (t *trial) run(ctx context.Context) {
	defer t.tidy(ctx)
	if err := t.open(ctx); err != nil {
		hint := t.commandHint(err, "mon_write")
		if loginFailed(err) {
			hint = t.apiHint(err)
		}
		t.wrong(addressBlock, err, hint)
		return
	}
	t.progress("blocking addresses for documentation")
	if !t.singly(ctx) || !t.works(groupFile) || !t.works(objectFile) {
		return
	}
	t.files = edit.In(t.config.ConfigDir, trialGroup, t.shell)
	if !t.written(ctx) {
		return
	}
	t.progress("blocking by object and by group")
	t.seen(ctx)
	t.group(ctx)
	t.ranges(ctx)
	t.progress("trying IPv6")
	t.addressIPv6(ctx)
	t.objectIPv6(ctx)
	t.progress("trying an empty group")
	t.empty(ctx)
}

// open opens a session with the monitor right, instead of the one there is.
func (t *trial) open(ctx context.Context) error {
	t.leave(ctx)
	session, err := t.OpenMonitor(ctx)
	if err == nil {
		t.session = session
	}
	return err
}

func (t *trial) leave(ctx context.Context) {
	if t.session != nil {
		stormshield.Release(ctx, t.session)
		t.session = nil
	}
}

// command sends a command of the blacklist. A flush that began meanwhile may have taken
// the monitor right. command then takes it back, once.
func (t *trial) command(ctx context.Context, send func(*serverd.Session) error) error {
	if t.session == nil {
		if err := t.open(ctx); err != nil {
			return err
		}
	}
	err := send(t.session)
	if serverd.NoRight(err) {
		if _, again := t.session.Run(ctx, "MODIFY MONITOR FORCE ON"); again == nil {
			err = send(t.session)
		}
	}
	return err
}

func (t *trial) add(ctx context.Context, name string, lasts time.Duration) error {
	t.blocked = true
	return t.command(ctx, func(s *serverd.Session) error { return blacklist.Block(ctx, s, name, lasts) })
}

func (t *trial) remove(ctx context.Context, name string) error {
	return t.command(ctx, func(s *serverd.Session) error { return blacklist.Unblock(ctx, s, name) })
}

// show returns the line of an entry, if there is one.
func (t *trial) show(ctx context.Context, p netip.Prefix) (line blacklist.Line, err error) {
	err = t.command(ctx, func(s *serverd.Session) error {
		listed, err := blacklist.Show(ctx, s)
		if err == nil {
			t.unread = listed.Unreadable
			line, _ = listed.Find(p)
		}
		return err
	})
	return line, err
}

// singly tries what needs no file. It reports whether blocking works at all.
func (t *trial) singly(ctx context.Context) bool {
	if was, err := t.show(ctx, trialAddress); err == nil && was.Text != "" {
		t.untried(addressBlock, trialAddress.Addr().String()+" is on the blacklist already: unblock it first")
		return false
	}
	name := blacklist.Name(trialAddress)
	if err := t.add(ctx, name, trialTime); err != nil {
		t.wrong(addressBlock, err, "the plugin cannot block anything: "+t.commandHint(err, "mon_write and filter"))
		return false
	}
	is, err := t.show(ctx, trialAddress)
	switch {
	case err != nil:
		t.holds(addressBlock, "accepted")
		t.wrong(showPrints, err, t.commandHint(err, "base"))
		return true
	case is.Text == "" && t.unread == "":
		t.wrong(addressBlock, errors.New("ADD succeeds, and SHOW prints no line with the address"),
			"look on the appliance whether "+name+" is blocked; paste this report into a bug report")
		return true
	}
	t.shows = is.Text != ""
	t.holds(addressBlock, t.accepted())
	t.form(is)
	t.renew(ctx, is)
	t.takeOff(ctx)
	return true
}

// accepted describes an ADD that succeeded.
func (t *trial) accepted() string {
	if t.shows {
		return "accepted and listed"
	}
	return "accepted; SHOW does not show whether it is listed"
}

// form checks whether the plugin can read the line that SHOW prints for an entry.
func (t *trial) form(is blacklist.Line) {
	const report = "; paste this report into a bug report"
	switch {
	case t.unread != "":
		t.differs(showPrints, t.unread, "the plugin cannot read this line, and so cannot know that an address is not listed: "+
			"an ended ban that the appliance refuses to unblock stays pending"+report)
	case !is.Known:
		t.differs(showPrints, is.Text, "the plugin can read only the address in this line: "+
			"an ended ban that the appliance refuses to unblock stays pending while a line has its address"+report)
	case is.Left == 0:
		t.differs(showPrints, is.Text, "the line has no remaining time of the entry; the plugin works without it"+report)
	default:
		t.holds(showPrints, is.Text)
	}
}

func (t *trial) renew(ctx context.Context, was blacklist.Line) {
	err := t.add(ctx, blacklist.Name(trialAddress), 2*trialTime)
	if err != nil {
		t.wrong(renewing, err, "re-asserting fails: set reassert_every: 0, and paste this report into a bug report")
		return
	}
	is, err := t.show(ctx, trialAddress)
	switch {
	case err != nil || was.Left == 0 || is.Left == 0:
		t.untried(renewing, "accepted, but SHOW does not tell how long an entry lasts")
	case is.Left <= trialTime:
		t.wrong(renewing, fmt.Errorf("ADD with Timeout=%d succeeds, but the entry still ends in %.0f s", int((2*trialTime).Seconds()), is.Left.Seconds()),
			"entries end after blacklist_timeout: set that to more than your longest ban, and paste this report into a bug report")
	default:
		t.holds(renewing, fmt.Sprintf("from %.0f s to %.0f s", was.Left.Seconds(), is.Left.Seconds()))
	}
}

func (t *trial) takeOff(ctx context.Context) {
	name := blacklist.Name(trialAddress)
	if err := t.remove(ctx, name); err != nil {
		t.wrong(unblocking, err, "bans cannot be ended before blacklist_timeout: paste this report into a bug report")
		return
	}
	if is, err := t.show(ctx, trialAddress); err == nil && is.Text != "" {
		t.wrong(unblocking, errors.New("DELETE succeeds, and SHOW still prints "+is.Text), "paste this report into a bug report")
		return
	}
	if err := t.remove(ctx, name); err != nil {
		t.differs(unblocking, fmt.Sprintf("taken off; once more: %v", err),
			"after such an answer the plugin looks with SHOW whether the entry is gone")
		return
	}
	t.holds(unblocking, "taken off; once more: accepted")
}
