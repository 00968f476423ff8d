package acceptance

import (
	"context"
	"errors"
	"fmt"

	"notification-stormshield/stormshield/blacklist"
)

const pasteReport = "paste this report into a bug report"

func (c *checker) blockAddress(ctx context.Context) Finding {
	c.progress("blocking addresses for documentation")
	if err := c.openMonitor(ctx); err != nil {
		if loginFailed(err) {
			return wrong(err, apiHint(err))
		}
		return wrong(err, c.commandHint(err, "mon_write"))
	}
	if before, err := c.show(ctx, testAddress); err == nil && before.Text != "" {
		return notTried(testAddress.Addr().String() + " is on the blacklist already: unblock it first")
	}
	name := blacklist.Name(testAddress)
	if err := c.block(ctx, name, testTime); err != nil {
		return wrong(err, "the plugin cannot block anything: "+c.commandHint(err, "mon_write and filter"))
	}
	c.accepted = true
	c.shown, c.showErr = c.show(ctx, testAddress)
	c.shows = c.shown.Text != ""
	c.listed = c.shows || c.unreadable != "" && c.showErr == nil
	switch {
	case c.showErr != nil:
		return holds("accepted")
	case !c.listed:
		return wrong(errors.New("ADD succeeds, and SHOW prints no line with the address"),
			"look on the appliance whether "+name+" is blocked; "+pasteReport)
	}
	return holds(c.describeBlocked())
}

// describeBlocked describes an ADD that succeeded.
func (c *checker) describeBlocked() string {
	if c.shows {
		return "accepted and listed"
	}
	return "accepted; SHOW does not show whether it is listed"
}

// readShow checks whether the plugin can read the line that SHOW prints for an entry.
func (c *checker) readShow(context.Context) Finding {
	switch {
	case c.showErr != nil:
		return wrong(c.showErr, c.commandHint(c.showErr, "base"))
	case !c.listed:
		return notTried("SHOW prints no line with the address")
	case c.unreadable != "":
		return differs(c.unreadable, "the plugin cannot read this line, and so cannot know that an address is not listed: "+
			"an ended ban that the appliance refuses to unblock stays pending; "+pasteReport)
	case !c.shown.Known:
		return differs(c.shown.Text, "the plugin can read only the address in this line: "+
			"an ended ban that the appliance refuses to unblock stays pending while a line has its address; "+pasteReport)
	case c.shown.Left == 0:
		return differs(c.shown.Text, "the line has no remaining time of the entry; the plugin works without it; "+pasteReport)
	}
	return holds(c.shown.Text)
}

func (c *checker) renew(ctx context.Context) Finding {
	if err := c.block(ctx, blacklist.Name(testAddress), 2*testTime); err != nil {
		return wrong(err, "re-asserting fails: set reassert_every: 0, and "+pasteReport)
	}
	renewed, err := c.show(ctx, testAddress)
	switch {
	case err != nil || c.shown.Left == 0 || renewed.Left == 0:
		return notTried("accepted, but SHOW prints no remaining time of an entry")
	case renewed.Left <= testTime:
		return wrong(fmt.Errorf("ADD with Timeout=%.0f succeeds, but the entry still ends in %.0f s", (2*testTime).Seconds(), renewed.Left.Seconds()),
			"entries end after blacklist_timeout: set that to more than your longest ban, and "+pasteReport)
	}
	return holds(fmt.Sprintf("from %.0f s to %.0f s", c.shown.Left.Seconds(), renewed.Left.Seconds()))
}

func (c *checker) unblockAddress(ctx context.Context) Finding {
	name := blacklist.Name(testAddress)
	if err := c.unblock(ctx, name); err != nil {
		return wrong(err, "bans cannot be ended before blacklist_timeout: "+pasteReport)
	}
	if line, err := c.show(ctx, testAddress); err == nil && line.Text != "" {
		return wrong(errors.New("DELETE succeeds, and SHOW still prints "+line.Text), pasteReport)
	}
	if err := c.unblock(ctx, name); err != nil {
		return differs(fmt.Sprintf("unblocked; the second DELETE: %v", err), "after such an answer the plugin looks with SHOW whether the entry is gone")
	}
	return holds("unblocked; the second DELETE is accepted")
}
