package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"notification-stormshield/stormshield/blacklist"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
)

// remove removes everything that the rows blocked and wrote, also when the user interrupts them.
func (c *checker) remove(ctx context.Context) Finding {
	c.progress("removing everything again")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	rule := c.removeTestRule(ctx)
	if rule != nil { // the session may be lost
		c.closeSession(ctx)
		rule = c.removeTestRule(ctx)
	}
	if rule != nil {
		rule = fmt.Errorf("remove the rule that is off from the copy of slot %d, which is not activated: %w", c.slot, rule)
	}
	unblocked := c.unblockAll(ctx)
	c.closeSession(ctx)
	var inFiles error
	if c.wrote {
		if err := c.removeFromFiles(ctx); err != nil {
			inFiles = fmt.Errorf("remove the groups %s and %s from the files: %w", testGroup, testEndedGroup, err)
		}
	}
	if unblocked != nil { // the files may have made the session useless
		unblocked = c.unblockAll(ctx)
		c.closeSession(ctx)
	}
	switch err := errors.Join(rule, inFiles, unblocked); {
	case err != nil:
		return wrong(err, fmt.Sprintf("run this again; entries end by themselves within %s", 2*testTime))
	case !c.wrote:
		return holds("no file was written")
	case bytes.Equal(c.text.Object, c.before.Object) && bytes.Equal(c.text.Objectgroup, c.before.Objectgroup):
		return holds("both files are what they were, byte for byte")
	}
	return holds("all is removed; the plugin or somebody else changed the files meanwhile")
}

// unblockAll unblocks the test prefixes that are still on the blacklist.
func (c *checker) unblockAll(ctx context.Context) error {
	if !c.mayBeBlocked {
		return nil
	}
	var errs []error
	for p := range testPrefixes.All() {
		line, err := c.show(ctx, p)
		if err == nil && line.Text == "" && c.shows {
			continue
		}
		if failed := c.unblock(ctx, blacklist.Name(p)); failed != nil && (err != nil || line.Text != "") {
			errs = append(errs, fmt.Errorf("unblock %s: %w", p, failed))
		}
	}
	return errors.Join(errs...)
}

// removeFromFiles removes the test objects and groups from the files. It reconnects once if the connection was closed.
func (c *checker) removeFromFiles(ctx context.Context) error {
	if _, err := c.files.Read(ctx); err != nil {
		client, failed := c.DialSSH(ctx)
		if failed != nil {
			return failed
		}
		c.closeShell()
		c.shell, c.files = client, edit.NewFiles(c.config.ConfigDir, testGroup, client)
	}
	if err := retryWrite(ctx, func() error { return c.removeFromFilesOnce(ctx) }); err != nil {
		return err
	}
	return c.runReload(ctx)
}

func (c *checker) removeFromFilesOnce(ctx context.Context) (err error) {
	if c.text, err = c.files.Read(ctx); err != nil {
		return err
	}
	p := testPatch()
	p.Removed = testPrefixes
	patched := p.Apply(c.text.Object, c.text.Objectgroup)
	if c.inGroup {
		patched = c.inGroupPatch(false).Apply(patched.Object, patched.Objectgroup)
	}
	groups := objects.RemoveGroup(objects.RemoveGroup(patched.Objectgroup, testGroup), testEndedGroup)
	object := objects.RemoveSections(patched.Object, c.sectionsBefore()...)
	if err := c.files.Replace(ctx, c.text, objects.Patched{Defined: c.text.Object, Objectgroup: groups, Object: object}); err != nil {
		return err
	}
	c.text, err = c.files.Read(ctx)
	return err
}

// sectionsBefore returns the sections of object that existed before the first write.
func (c *checker) sectionsBefore() []string {
	var sections []string
	for _, section := range []string{objects.HostSection, objects.NetworkSection} {
		if objects.HasSection(c.before.Object, section) {
			sections = append(sections, section)
		}
	}
	return sections
}
