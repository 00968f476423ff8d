package acceptance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// newSession tries whether a session that is opened after a write knows an object of it.
func (c *checker) newSession(ctx context.Context) Finding {
	c.progress("blocking by object and by group")
	name := objects.Name(testAddress)
	early := c.block(ctx, name, testTime) == nil // in a session from before the write
	err := c.blockInNewSession(ctx, name)
	var root *serverd.RootError
	switch {
	case err == nil:
		c.seesWrites = true
		if early {
			return holds("it does, and a session from before the write does too")
		}
		return holds("it does, and a session from before the write does not")
	case errors.As(err, &root):
		return wrong(err, "the appliance does not accept the new files: "+pasteReport)
	case c.config.ReloadCommand != "":
		return wrong(err, "the appliance does not know the new objects after "+c.config.ReloadCommand+" either (reload_command)")
	}
	return c.newSessionAfterReload(ctx, name, err)
}

// newSessionAfterReload does the same after a reload. unseen is the error without a reload.
func (c *checker) newSessionAfterReload(ctx context.Context, name string, unseen error) Finding {
	if state, err := c.shell.Tool(ctx, enobject); err != nil || state != shell.Works {
		return wrong(unseen, "the appliance does not know the new objects, and has no enobject: "+
			"find the command that makes the appliance read its files, and set reload_command")
	}
	c.reload = true
	if err := c.blockInNewSession(ctx, name); err != nil {
		return wrong(err, "the appliance does not know the new objects, even after enobject: "+pasteReport)
	}
	c.seesWrites = true
	return wrong(fmt.Errorf("%w; after enobject it is known", unseen), "set reload_command: enobject")
}

func (c *checker) blockInNewSession(ctx context.Context, name string) error {
	err := c.openAfterWrite(ctx, firstPatch())
	if errors.Is(err, edit.ErrChanged) {
		err = c.change(ctx, firstPatch())
	}
	if err != nil {
		return err
	}
	return c.block(ctx, name, testTime)
}

// listedLine returns the line of a prefix that is blocked. It returns an error if SHOW has no line for the prefix, although it
// prints lines of blocked addresses.
func (c *checker) listedLine(ctx context.Context, p netip.Prefix, what string) (string, error) {
	line, err := c.show(ctx, p)
	if err == nil && line.Text == "" && c.shows {
		err = errors.New("ADD succeeds, and SHOW prints no line with " + what)
	}
	return line.Text, err
}

func (c *checker) blockGroup(ctx context.Context) Finding {
	err := c.unblock(ctx, blacklist.Name(testAddress))
	if err == nil {
		err = c.block(ctx, testGroup, testTime)
	}
	if err == nil {
		_, err = c.listedLine(ctx, testAddress, "its member")
	}
	if err != nil {
		return wrong(err, "many bans, and every re-assert, go by group: "+pasteReport)
	}
	return holds(c.describeBlocked())
}

func (c *checker) unblockGroup(ctx context.Context) Finding {
	err := c.block(ctx, blacklist.Name(testEnded), testTime)
	if err == nil {
		err = c.unblock(ctx, testEndedGroup)
	}
	if err == nil {
		var line blacklist.Line
		if line, err = c.show(ctx, testEnded); err == nil && line.Text != "" {
			err = errors.New("DELETE succeeds, and SHOW still prints " + line.Text)
		}
	}
	if err != nil {
		return wrong(err, "many ended bans go by group: set api_single_max above the number of bans that end together, and "+pasteReport)
	}
	return holds("accepted, and gone")
}

func (c *checker) blockRange(ctx context.Context) Finding {
	const hint = "ranges are not blocked: leave them out of your profiles, and " + pasteReport
	name := objects.Name(testRange)
	byGroup, err := c.show(ctx, testRange)
	if err == nil {
		_ = c.unblock(ctx, name) // the appliance may refuse that if the group did not block the range
		err = c.block(ctx, name, testTime)
	}
	var line string
	if err == nil {
		line, err = c.listedLine(ctx, testRange, "its first address")
	}
	if err == nil && byGroup.Text == "" && c.shows {
		err = errors.New("SHOW lists it after ADD of its name, and not after ADD of its group")
	}
	if err != nil {
		return wrong(err, hint)
	}
	_ = c.unblock(ctx, name) // while the object exists; the last row looks whether it is gone
	return holds(line)
}

const hintIPv6 = "IPv6 is not blocked: put 2000::/3, all of its addresses that are routed, into never_block; " + pasteReport

func (c *checker) ipv6Address(ctx context.Context) Finding {
	c.progress("trying IPv6")
	if before, err := c.show(ctx, testIPv6); err == nil && before.Text != "" {
		return notTried(testIPv6.Addr().String() + " is on the blacklist already: unblock it first")
	}
	var line string
	err := c.block(ctx, blacklist.Name(testIPv6), testTime)
	if err == nil {
		line, err = c.listedLine(ctx, testIPv6, "the address")
	}
	if err != nil {
		return wrong(err, hintIPv6)
	}
	return holds(line)
}

func (c *checker) ipv6Object(ctx context.Context) Finding {
	err := c.change(ctx, testPatch(testIPv6))
	if err == nil {
		err = c.block(ctx, objects.Name(testIPv6), testTime)
	}
	if err != nil {
		return wrong(err, hintIPv6)
	}
	return holds(objects.Name(testIPv6) + "=" + objects.Value(testIPv6))
}

// emptyGroup tries a group that is a header alone, as the group of ended bans is between flushes.
func (c *checker) emptyGroup(ctx context.Context) Finding {
	c.progress("trying an empty group")
	p, absent := testPatch(), []netip.Prefix{testEnded}
	if !works(ipv6Object)(c) {
		absent = append(absent, testIPv6)
	}
	p.Removed = objects.NewSet(absent)
	err := c.change(ctx, p)
	if err == nil {
		err = c.block(ctx, objects.Name(testAddress), testTime)
	}
	if err != nil {
		return wrong(err, "between flushes "+c.config.DeleteGroup+" is empty: the plugin does not work here; "+pasteReport)
	}
	return holds("[" + testEndedGroup + "] harms nothing")
}
