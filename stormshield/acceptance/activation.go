package acceptance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"notification-stormshield/stormshield/objects"
)

// usualActivation makes the running rule see the group (vendor's reference), but no source says whether less is enough.
var usualActivation = []string{"enobject", "enfilter -u"}

// activateRule adds a test address to the group of bans, and looks after which command MONITOR FILTER shows the address.
func (c *checker) activateRule(ctx context.Context) Finding {
	c.progress("looking when the running rule sees a new member")
	if c.session == nil {
		session, err := c.DialAPI(ctx)
		if err != nil {
			return wrong(err, apiHint(err))
		}
		c.session = session
	}
	if err := c.lookBefore(ctx); err != nil {
		return notTried(err.Error())
	}
	c.inGroup = true
	_, err := c.write(ctx, c.inGroupPatch(true))
	if err == nil {
		err = c.runReload(ctx)
	}
	if err != nil {
		return wrong(err, "look at the disk and the rights of "+c.config.ConfigDir)
	}
	found := c.findActivation(ctx)
	if err := c.leaveGroup(ctx); err != nil && found.Err == nil {
		return wrong(fmt.Errorf("remove %s from the group %s: %w", testAddress.Addr(), c.config.Group, err), "the last row tries it again")
	}
	return found
}

// lookBefore returns an error if MONITOR FILTER cannot show a new member of the group.
func (c *checker) lookBefore(ctx context.Context) (err error) {
	if c.text, err = c.files.Read(ctx); err != nil {
		return err
	}
	if !objects.HasSection(c.text.Objectgroup, c.config.Group) {
		return fmt.Errorf("the files have no group %s yet: check again after the first flush", c.config.Group)
	}
	running, err := c.runningRules(ctx)
	if err == nil && showsAddress(running, testAddress.Addr()) {
		err = fmt.Errorf("the running rules name %s already", testAddress.Addr())
	}
	return err
}

func (c *checker) runningRules(ctx context.Context) (string, error) {
	answer, err := c.session.Run(ctx, "MONITOR FILTER")
	return strings.Join(answer.Lines(), "\n"), err
}

// showsAddress reports whether a text has an address. A part of a longer address does not count.
func showsAddress(text string, address netip.Addr) bool {
	isPart := func(r rune) bool { return strings.ContainsRune("0123456789abcdefABCDEF:.", r) }
	for before, after, found := strings.Cut(text, address.String()); found; before, after, found = strings.Cut(after, address.String()) {
		if strings.TrimRightFunc(before, isPart) == before && strings.TrimLeftFunc(after, isPart) == after {
			return true
		}
	}
	return false
}

// inGroupPatch adds the test address to the group of bans, or removes it.
func (c *checker) inGroupPatch(member bool) objects.Patch {
	p := objects.Patch{Group: c.config.Group, DeleteGroup: testEndedGroup}
	if set := objects.NewSet([]netip.Prefix{testAddress}); member {
		p.InForce = set
	} else {
		p.Removed = set
	}
	return p
}

// leaveGroup removes the test address from the group of bans, in the files and in the running rule.
func (c *checker) leaveGroup(ctx context.Context) error {
	if _, err := c.write(ctx, c.inGroupPatch(false)); err != nil {
		return err
	}
	c.inGroup = false
	if err := c.runReload(ctx); err != nil {
		return err
	}
	return c.runEach(ctx, c.activated)
}

func (c *checker) runEach(ctx context.Context, commands []string) error {
	for _, command := range commands {
		c.activated = append(c.activated, command)
		if _, err := c.runShort(ctx, command); err != nil {
			return fmt.Errorf("run %s: %w", command, err)
		}
	}
	return nil
}

var errLeftGroup = errors.New("a flush of the plugin came in between: check again")

// findActivation runs the configured commands one by one, and then the usual ones, until the running rule shows the test address.
func (c *checker) findActivation(ctx context.Context) Finding {
	configured := c.config.Rule.Activate
	const hint = "correct rule.activate"
	for n := 0; ; n++ {
		shown, err := c.showsTestAddress(ctx)
		switch {
		case err != nil:
			return notTried(err.Error())
		case shown && n == len(configured):
			return holds("it does after: " + listCommands(configured))
		case shown:
			return differs("it does already after: "+listCommands(configured[:n]), fmt.Sprintf("fewer commands are enough: set rule.activate: [%s]",
				strings.Join(configured[:n], ", ")))
		}
		if n == len(configured) {
			break
		}
		if err := c.runEach(ctx, configured[n:n+1]); err != nil {
			return wrong(err, hint)
		}
	}
	const silent = "MONITOR FILTER does not show the new member after: "
	if slices.Equal(configured, usualActivation) || c.runEach(ctx, usualActivation) != nil {
		return notTried(silent + listCommands(configured))
	}
	switch shown, err := c.showsTestAddress(ctx); {
	case err != nil:
		return notTried(err.Error())
	case !shown:
		return notTried(silent + listCommands(slices.Concat(configured, usualActivation)))
	}
	return wrong(fmt.Errorf("it does not after: %s; it does after: %s", listCommands(configured), listCommands(usualActivation)),
		fmt.Sprintf("set rule.activate: [%s]", strings.Join(usualActivation, ", ")))
}

func listCommands(commands []string) string {
	if len(commands) == 0 {
		return "the write alone"
	}
	return strings.Join(commands, ", ")
}

// showsTestAddress reports whether the running rule shows the test address. It returns an error if somebody removed the address from
// the group.
func (c *checker) showsTestAddress(ctx context.Context) (bool, error) {
	running, err := c.runningRules(ctx)
	if err != nil || showsAddress(running, testAddress.Addr()) {
		return err == nil, err
	}
	text, err := c.files.Read(ctx)
	if err == nil && !slices.Contains(slices.Collect(objects.Members(text.Objectgroup, c.config.Group)), testAddress) {
		err = errLeftGroup
	}
	return false, err
}
