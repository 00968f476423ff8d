package acceptance

import (
	"context"
	"net/netip"
	"time"

	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
)

// CheckAndWrite blocks and writes addresses for documentation (RFC 5737, RFC 3849), which no host has.
var (
	testAddress = netip.MustParsePrefix("198.51.100.253/32")
	testEnded   = netip.MustParsePrefix("198.51.100.254/32")
	testRange   = netip.MustParsePrefix("198.51.100.240/29")
	testIPv6    = netip.MustParsePrefix("2001:db8::c5ec/128")

	testPrefixes = objects.NewSet([]netip.Prefix{testAddress, testEnded, testRange, testIPv6})
)

const (
	// The plugin, which may run at the same time, does not touch these groups.
	testGroup      = "CrowdsecCheck"
	testEndedGroup = "CrowdsecCheckEnded"

	// testTime is how long an entry lasts if its removal fails.
	testTime = 5 * time.Minute
	// maxWait is how long a write is tried again while others write.
	maxWait = time.Minute
)

// writeState is the state of the rows that block and write.
type writeState struct {
	accepted     bool           // the appliance accepted to block an address
	shown        blacklist.Line // the line that SHOW prints for it
	showErr      error
	listed       bool // SHOW prints that line, or one that may be it
	shows        bool // SHOW prints the line of a blocked address
	seesWrites   bool // a new session sees a write
	reload       bool // a new session sees it only after enobject
	mayBeBlocked bool // the blacklist may name the test addresses

	unreadable string // a line of the last SHOW in which nothing can be read

	files       *edit.Files
	before      edit.Texts // the files before the first write
	text        edit.Texts // the files now
	modesBefore string
	wrote       bool // the files may name the test addresses
}

// openMonitor opens a session with the monitor right. It replaces the one that is open.
func (c *checker) openMonitor(ctx context.Context) error {
	c.closeSession(ctx)
	session, err := c.OpenMonitor(ctx)
	if err == nil {
		c.session = session
	}
	return err
}

// send sends a command of the blacklist. A flush that began meanwhile may have taken the monitor right. send then takes it
// back, once.
func (c *checker) send(ctx context.Context, command func(*serverd.Session) error) error {
	if c.session == nil {
		if err := c.openMonitor(ctx); err != nil {
			return err
		}
	}
	err := command(c.session)
	if serverd.IsForbidden(err) {
		if _, again := c.session.Run(ctx, "MODIFY MONITOR FORCE ON"); again == nil {
			err = command(c.session)
		}
	}
	return err
}

func (c *checker) block(ctx context.Context, name string, timeout time.Duration) error {
	c.mayBeBlocked = true
	return c.send(ctx, func(s *serverd.Session) error { return blacklist.Block(ctx, s, name, timeout) })
}

func (c *checker) unblock(ctx context.Context, name string) error {
	return c.send(ctx, func(s *serverd.Session) error { return blacklist.Unblock(ctx, s, name) })
}

// show returns the line of SHOW that is the entry of a prefix. Its text is "" if there is none.
func (c *checker) show(ctx context.Context, p netip.Prefix) (line blacklist.Line, err error) {
	err = c.send(ctx, func(s *serverd.Session) error {
		listing, err := blacklist.Show(ctx, s)
		if err == nil {
			c.unreadable = listing.Unreadable
			line, _ = listing.Find(p)
		}
		return err
	})
	return line, err
}
