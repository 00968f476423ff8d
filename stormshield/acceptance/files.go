package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
)

// edit writes the first objects and groups, on the appliance itself if it can.
func (c *checker) edit(ctx context.Context) Finding {
	c.progress("writing objects and groups")
	c.files = edit.NewFiles(c.config.ConfigDir, testGroup, c.shell)
	var err error
	if c.before, err = c.files.Read(ctx); err != nil {
		return wrong(err, "look at the SSH connection")
	}
	c.text = c.before
	if err := stormshield.ForeignMembers(c.text.Objectgroup, testGroup, testEndedGroup); err != nil {
		return wrong(err, "remove them from the group in the web administration, because this check fills, blocks and removes the group")
	}
	if banned, ok := c.bannedTestPrefix(); ok {
		return notTried(fmt.Sprintf("%s is banned: end that ban first (`bans remove %[1]s`)", banned.Addr()))
	}
	if err := c.removeEarlier(ctx); err != nil {
		return wrong(err, "remove the groups "+testGroup+" and "+testEndedGroup+" by hand")
	}
	c.modesBefore = c.modes(ctx)
	result, err := c.write(ctx, firstPatch())
	switch {
	case err != nil:
		return wrong(err, "the plugin cannot write the files; look at the disk and the rights of "+c.config.ConfigDir)
	case result.replaced != "":
		return differs(result.replaced, "each flush sends both files whole")
	case result.state != result.want:
		return wrong(fmt.Errorf("cksum of the two files is %s instead of %s", result.state, result.want), "look at the two files, and "+pasteReport)
	}
	return holds("sh and awk make the same bytes")
}

// bannedTestPrefix returns a test prefix that the group of bans lists.
func (c *checker) bannedTestPrefix() (netip.Prefix, bool) {
	for p := range objects.Members(c.text.Objectgroup, c.config.Group) {
		if testPrefixes.Has(p) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// removeEarlier removes objects and groups of an earlier check that was interrupted.
func (c *checker) removeEarlier(ctx context.Context) error {
	if !objects.HasSection(c.text.Objectgroup, testGroup) && !objects.HasSection(c.text.Objectgroup, testEndedGroup) {
		return nil
	}
	c.before = edit.Texts{} // also the sections that the earlier check made
	err := c.removeFromFiles(ctx)
	c.before = c.text
	return err
}

func (c *checker) modeAndOwner(ctx context.Context) Finding {
	switch modes := c.modes(ctx); {
	case modes == "" || c.modesBefore == "":
		return notTried("the appliance has no ls that shows them")
	case modes != c.modesBefore:
		return wrong(fmt.Errorf("they were %s, and are %s", c.modesBefore, modes), "restore them, and "+pasteReport)
	default:
		return holds(modes)
	}
}

// modes returns mode, owner and group of both files; "" if the appliance does not show them.
func (c *checker) modes(ctx context.Context) string {
	out, err := c.shell.Run(ctx, "cd "+c.config.ConfigDir+" && ls -ln object objectgroup", nil)
	if err != nil {
		return ""
	}
	var modes []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 4 {
			modes = append(modes, fmt.Sprintf("%s %s:%s", strings.ToValidUTF8(f[0], "?"), f[2], f[3]))
		}
	}
	return strings.Join(modes, ", ")
}

// testPatch lists prefixes in the test group.
func testPatch(listed ...netip.Prefix) objects.Patch {
	return objects.Patch{Group: testGroup, DeleteGroup: testEndedGroup, InForce: objects.NewSet(listed)}
}

// firstPatch is the patch of the first write.
func firstPatch() objects.Patch {
	p := testPatch(testAddress, testRange)
	p.Ended = objects.NewSet([]netip.Prefix{testEnded})
	return p
}

// written is the result of a patch.
type written struct {
	replaced    string // why the files were replaced whole; "" if the appliance edited them
	state, want edit.State
}

var errNUL = errors.New("a zero byte is in them, at which some awks end the line")

// write applies a patch, and then reads the files.
func (c *checker) write(ctx context.Context, p objects.Patch) (result written, err error) {
	c.wrote = true
	err = retryWrite(ctx, func() error {
		result, err = c.writeOnce(ctx, p)
		return err
	})
	return result, err
}

func (c *checker) writeOnce(ctx context.Context, p objects.Patch) (result written, err error) {
	if c.text, err = c.files.Read(ctx); err != nil {
		return written{}, err
	}
	want := p.Apply(c.text.Object, c.text.Objectgroup)
	result.want = edit.Texts{Object: want.Object, Objectgroup: want.Objectgroup}.State(p.Group)
	err = errNUL
	if !bytes.ContainsRune(c.text.Object, 0) && !bytes.ContainsRune(c.text.Objectgroup, 0) {
		result.state, err = c.files.Patch(ctx, c.text.State(p.Group), p)
	}
	var unable *edit.UnableError
	if errors.As(err, &unable) || errors.Is(err, errNUL) {
		result.replaced = fmt.Sprintf("by whole files: %v", err)
		err = c.files.Replace(ctx, c.text, want)
	}
	if err == nil {
		c.text, err = c.files.Read(ctx)
	}
	return result, err
}

// retryWrite tries a write again if a flush of the plugin, or somebody else, changed the files meanwhile. The waits are random,
// so that they do not meet each flush.
func retryWrite(ctx context.Context, write func() error) error {
	for began := time.Now(); ; {
		err := write()
		if !errors.Is(err, edit.ErrChanged) || time.Since(began) > maxWait {
			return err
		}
		select {
		case <-time.After(rand.N(time.Second)): //nolint:gosec // no secret
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// change applies a patch and opens a session that sees it.
func (c *checker) change(ctx context.Context, p objects.Patch) error {
	return retryWrite(ctx, func() error {
		if _, err := c.write(ctx, p); err != nil {
			return err
		}
		return c.openAfterWrite(ctx, p)
	})
}

// openAfterWrite opens a session that sees a patch. It returns [edit.ErrChanged] if the files no longer have the patch: a flush
// that renames its files at the same moment can take it away, because no tool compares and renames in one step.
func (c *checker) openAfterWrite(ctx context.Context, p objects.Patch) error {
	if err := c.runReload(ctx); err != nil {
		return err
	}
	if err := c.openMonitor(ctx); err != nil {
		return err
	}
	text, err := c.files.Read(ctx)
	if err == nil && !hasPatch(text, p) {
		err = edit.ErrChanged
	}
	return err
}

// hasPatch reports whether the files have all objects and members that a patch adds.
func hasPatch(t edit.Texts, p objects.Patch) bool {
	defined := objects.NewSet(slices.Collect(objects.Defined(t.Object)))
	for group, added := range map[string]objects.Set{p.Group: p.InForce, p.DeleteGroup: p.Ended} {
		members := objects.NewSet(slices.Collect(objects.Members(t.Objectgroup, group)))
		for prefix := range added.All() {
			if !defined.Has(prefix) || !members.Has(prefix) {
				return false
			}
		}
	}
	return true
}

// enobject makes the appliance read its objects (vendor's documents).
const enobject = "enobject"

// runReload makes the appliance read its files, if it does not do so by itself.
func (c *checker) runReload(ctx context.Context) error {
	command := c.config.ReloadCommand
	if command == "" && c.reload {
		command = enobject
	}
	if command == "" {
		return nil
	}
	_, err := c.shell.Run(ctx, command, nil)
	return err
}
