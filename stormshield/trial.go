package stormshield

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

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

// Try is Check, and then tries what only writing shows: it blocks addresses for
// documentation, writes their objects and groups into the files, looks what the
// appliance makes of them, and takes everything off again. Nothing else on the
// appliance is touched, and a flush may go on beside. It opens several sessions
// of the API, one after another.
func (a *Appliance) Try(ctx context.Context) []Finding {
	t := &trial{checker: checker{Appliance: a}}
	defer t.close()
	t.check(ctx)
	if t.works(blacklistRight) && t.works(apiLogin) {
		t.run(ctx)
	}
	return t.report(slices.Concat(checked, tried)...)
}

// trial is one run of Try.
type trial struct {
	checker
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
	t.doing("blocking addresses for documentation")
	if !t.singly(ctx) || !t.works(groupFile) || !t.works(objectFile) {
		return
	}
	t.files = edit.In(t.config.ConfigDir, trialGroup, t.shell)
	if !t.written(ctx) {
		return
	}
	t.doing("blocking by object and by group")
	t.seen(ctx)
	t.group(ctx)
	t.ranges(ctx)
	t.doing("trying IPv6")
	t.addressIPv6(ctx)
	t.objectIPv6(ctx)
	t.doing("trying an empty group")
	t.empty(ctx)
}

// open opens a session with the monitor right, instead of the one there is.
func (t *trial) open(ctx context.Context) error {
	t.leave(ctx)
	session, err := t.monitor(ctx)
	if err == nil {
		t.session = session
	}
	return err
}

func (t *trial) leave(ctx context.Context) {
	if t.session != nil {
		release(ctx, t.session)
		t.session = nil
	}
}

// command runs a command on the blacklist. A flush that began meanwhile may have
// taken the monitor right: then it is taken back, once.
func (t *trial) command(ctx context.Context, format string, args ...any) (serverd.Answer, error) {
	if t.session == nil {
		if err := t.open(ctx); err != nil {
			return serverd.Answer{}, err
		}
	}
	line := "MONITOR ADDRESSLIST " + fmt.Sprintf(format, args...)
	answer, err := t.session.Run(ctx, line)
	if serverd.NoRight(err) {
		if _, again := t.session.Run(ctx, "MODIFY MONITOR FORCE ON"); again == nil {
			answer, err = t.session.Run(ctx, line)
		}
	}
	return answer, err
}

func (t *trial) add(ctx context.Context, name string, lasts time.Duration) error {
	t.blocked = true
	_, err := t.command(ctx, "ADD Type=BlackList Name1=%s Timeout=%d", name, seconds(lasts))
	return err
}

func (t *trial) remove(ctx context.Context, name string) error {
	_, err := t.command(ctx, "DELETE Type=BlackList Name1=%s", name)
	return err
}

// show returns the line of an entry, if there is one.
func (t *trial) show(ctx context.Context, p netip.Prefix) (entry, error) {
	answer, err := t.command(ctx, "SHOW type=blacklist")
	if err != nil {
		return entry{}, err
	}
	listed := readListing(answer.Lines())
	t.unread = listed.unread
	is, _ := listed.find(p)
	return is, nil
}

// singly tries what needs no file. It reports whether blocking works at all.
func (t *trial) singly(ctx context.Context) bool {
	if was, err := t.show(ctx, trialAddress); err == nil && was.line != "" {
		t.untried(addressBlock, trialAddress.Addr().String()+" is on the blacklist already: unblock it first")
		return false
	}
	name := entryName(trialAddress)
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
	case is.line == "" && t.unread == "":
		t.wrong(addressBlock, errors.New("ADD succeeds, and SHOW prints no line with the address"),
			"look on the appliance whether "+name+" is blocked; paste this report into a bug report")
		return true
	}
	t.shows = is.line != ""
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
func (t *trial) form(is entry) {
	const report = "; paste this report into a bug report"
	switch {
	case t.unread != "":
		t.differs(showPrints, t.unread, "the plugin cannot read this line, and so cannot know that an address is not listed: "+
			"an ended ban that the appliance refuses to unblock stays pending"+report)
	case !is.read:
		t.differs(showPrints, is.line, "the plugin can read only the address in this line: "+
			"an ended ban that the appliance refuses to unblock stays pending while a line has its address"+report)
	case is.left == 0:
		t.differs(showPrints, is.line, "the line has no remaining time of the entry; the plugin works without it"+report)
	default:
		t.holds(showPrints, is.line)
	}
}

func (t *trial) renew(ctx context.Context, was entry) {
	err := t.add(ctx, entryName(trialAddress), 2*trialTime)
	if err != nil {
		t.wrong(renewing, err, "re-asserting fails: set reassert_every: 0, and paste this report into a bug report")
		return
	}
	is, err := t.show(ctx, trialAddress)
	switch {
	case err != nil || was.left == 0 || is.left == 0:
		t.untried(renewing, "accepted, but SHOW does not tell how long an entry lasts")
	case is.left <= trialTime:
		t.wrong(renewing, fmt.Errorf("ADD with Timeout=%d succeeds, but the entry still ends in %.0f s", seconds(2*trialTime), is.left.Seconds()),
			"entries end after blacklist_timeout: set that to more than your longest ban, and paste this report into a bug report")
	default:
		t.holds(renewing, fmt.Sprintf("from %.0f s to %.0f s", was.left.Seconds(), is.left.Seconds()))
	}
}

func (t *trial) takeOff(ctx context.Context) {
	name := entryName(trialAddress)
	if err := t.remove(ctx, name); err != nil {
		t.wrong(unblocking, err, "bans cannot be ended before blacklist_timeout: paste this report into a bug report")
		return
	}
	if is, err := t.show(ctx, trialAddress); err == nil && is.line != "" {
		t.wrong(unblocking, errors.New("DELETE succeeds, and SHOW still prints "+is.line), "paste this report into a bug report")
		return
	}
	if err := t.remove(ctx, name); err != nil {
		t.differs(unblocking, fmt.Sprintf("taken off; once more: %v", err),
			"after such an answer the plugin looks with SHOW whether the entry is gone")
		return
	}
	t.holds(unblocking, "taken off; once more: accepted")
}
