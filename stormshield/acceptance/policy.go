package acceptance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/serverd"
)

const (
	// testRule is the name in the comment of the test rule. No configuration can have it, because it has spaces.
	testRule     = "check --write"
	testRuleName = "CrowdsecCheck"
	firstComment = "crowdsec-stormshield " + testRule + ": a test that is off"
	nextComment  = firstComment + ", changed"
)

// insertRule takes the configuration right, and inserts a rule that is off into the copy of an inactive policy. The rows after it
// use the rule, and removeRule gives the right back.
func (c *checker) insertRule(ctx context.Context) Finding {
	c.progress("editing an inactive policy")
	c.closeSession(ctx)
	session, err := c.DialAPI(ctx)
	if err != nil {
		return wrong(err, apiHint(err))
	}
	c.session = session
	found := c.insertTestRule(ctx)
	if !hasTestRule(c) {
		c.giveRightBack(ctx)
	}
	return found
}

func (c *checker) insertTestRule(ctx context.Context) Finding {
	if err := filter.TakeRight(ctx, c.session); err != nil {
		return c.refusedEdit(err)
	}
	policy, err := c.chooseSlot(ctx)
	switch {
	case err != nil:
		return c.refusedEdit(err)
	case policy.Slot == 0:
		return notTried("the appliance has no inactive policy without edits that are not active yet")
	}
	c.slot, c.original = policy.Slot, policy.Copy
	_, err = c.session.Run(ctx, fmt.Sprintf("CONFIG FILTER RULE INSERT index=%d type=filter position=1 %s", c.slot, c.testSettings(c.firstLevel(), firstComment)))
	if err != nil {
		var refused *serverd.CommandError
		if errors.As(err, &refused) {
			c.slot = 0
		}
		return c.refusedEdit(err)
	}
	if c.testLine, err = c.readTestRule(ctx); err != nil {
		return wrong(err, "`rule install` may not work: "+pasteReport)
	}
	return holds(fmt.Sprintf("in the copy of slot %d, which has %d lines", c.slot, len(c.original)))
}

// giveRightBack gives the configuration right back, if there is still a session.
func (c *checker) giveRightBack(ctx context.Context) {
	if c.session != nil {
		filter.GiveBack(ctx, c.session)
	}
}

// refusedEdit is the finding about an edit that did not begin.
func (c *checker) refusedEdit(err error) Finding {
	var held *filter.HeldError
	switch {
	case errors.As(err, &held):
		return notTried(fmt.Sprintf("an administrator, or another program, holds the configuration right: %v", held.Err))
	case serverd.IsForbidden(err):
		return notTried(err.Error() + "; only `rule install`, `rule remove` and this row need the rights modify and filter")
	}
	return wrong(err, "`rule install` may not work: "+pasteReport)
}

// chooseSlot returns an inactive policy without inactive edits, and preferably an empty one. It removes the test rules that interrupted
// checks left.
func (c *checker) chooseSlot(ctx context.Context) (chosen filter.Policy, err error) {
	for slot := 1; slot <= filter.Slots; slot++ {
		p, err := filter.Read(ctx, c.session, slot)
		if serverd.IsRefused(err) {
			continue // it does not exist
		}
		if err != nil {
			return filter.Policy{}, err
		}
		if p.Active || p.Unsplit {
			continue
		}
		for _, e := range slices.Backward(filter.Of(p.Copy, testRule)) {
			if err := c.removePosition(ctx, slot, e.Position); err != nil {
				return filter.Policy{}, err
			}
			p.Copy = slices.DeleteFunc(p.Copy, func(o filter.Line) bool { return o.Position == e.Position })
		}
		isEdited := !slices.Equal(texts(p.Copy), texts(p.Activated))
		if !isEdited && (chosen.Slot == 0 || len(p.Copy) == 0 && len(chosen.Copy) > 0) {
			chosen = p
		}
	}
	return chosen, nil
}

func (c *checker) removePosition(ctx context.Context, slot, position int) error {
	_, err := c.session.Run(ctx, fmt.Sprintf("CONFIG FILTER RULE REMOVE index=%d type=filter position=%d", slot, position))
	return err
}

func texts(policy []filter.Line) []string {
	lines := make([]string, len(policy))
	for i, e := range policy {
		lines[i] = e.Text
	}
	return lines
}

// firstLevel is the log level that `rule install` sends for the configured rule.
func (c *checker) firstLevel() string {
	if w := c.config.Rule.Wanted; w.Action != "log" || w.Log != "none" {
		return w.Log
	}
	return "log"
}

// nextLevel is another log level.
func (c *checker) nextLevel() string {
	if c.firstLevel() == "major" {
		return "minor"
	}
	return "major"
}

func (c *checker) testSettings(level, comment string) string {
	return fmt.Sprintf(`state=off action=%s srctarget=%s dsttarget=any loglevel=%s rulename=%s comment="%s"`,
		c.config.Rule.Wanted.Action, testGroup, level, testRuleName, comment)
}

// readTestRule returns the line of the copy that was not there before.
func (c *checker) readTestRule(ctx context.Context) (filter.Line, error) {
	copied, err := c.readCopy(ctx)
	if err != nil {
		return filter.Line{}, err
	}
	at := addedLine(c.original, copied)
	if at < 0 {
		return filter.Line{}, fmt.Errorf("the list of slot %d does not show the rule as one more line", c.slot)
	}
	return copied[at], nil
}

func (c *checker) readCopy(ctx context.Context) ([]filter.Line, error) {
	policy, err := filter.Read(ctx, c.session, c.slot)
	return policy.Copy, err
}

// addedLine returns the index of the one line that after has and before lacks; -1: they differ in another way.
func addedLine(before, after []filter.Line) int {
	without := texts(after)
	for i := range after {
		if i == len(before) || before[i].Text != after[i].Text {
			if slices.Equal(slices.Delete(without, i, i+1), texts(before)) {
				return i
			}
			break
		}
	}
	return -1
}

// readRule looks whether `rule install` recognises its rule in the list.
func (c *checker) readRule(context.Context) Finding {
	var otherwise []string
	for what, same := range map[string]bool{
		"off": c.testLine.Off, "the action": c.testLine.Action == c.config.Rule.Wanted.Action, "the comment": c.testLine.Comment == firstComment,
		"the source": slices.Equal(c.testLine.From, []string{testGroup}), "the destination": slices.Equal(c.testLine.To, []string{"any"}),
	} {
		if !same {
			otherwise = append(otherwise, what)
		}
	}
	if slices.Sort(otherwise); len(otherwise) > 0 {
		return wrong(fmt.Errorf("not shown as sent: %s; the line is %q", strings.Join(otherwise, ", "), c.testLine.Text),
			"`rule install` does not recognise its own rule: "+pasteReport)
	}
	if strings.Contains(strings.ReplaceAll(c.testLine.Text, testGroup+" to ", ""), testRuleName) {
		return holds(c.testLine.Text + "; it shows the name of the rule")
	}
	return holds(c.testLine.Text + "; it does not show the name of the rule")
}

func (c *checker) updateRule(ctx context.Context) Finding {
	const hint = "`rule install` cannot change a rule in its place: run `rule remove` first; " + pasteReport
	_, err := c.session.Run(ctx, fmt.Sprintf("CONFIG FILTER RULE UPDATE index=%d type=filter position=%d %s", c.slot, c.testLine.Position,
		c.testSettings(c.nextLevel(), nextComment)))
	if err != nil {
		return wrong(err, hint)
	}
	updated, err := c.readTestRule(ctx)
	if err != nil {
		return wrong(err, hint)
	}
	if updated.Comment != nextComment {
		return wrong(fmt.Errorf("UPDATE succeeds, and the line is %q", updated.Text), hint)
	}
	before, _, _ := strings.Cut(c.testLine.Text, "#")
	after, _, _ := strings.Cut(updated.Text, "#")
	if before == after {
		return holds("the list does not show the log level")
	}
	return holds("the list shows the log level: " + updated.Text)
}

func (c *checker) checkPolicy(ctx context.Context) Finding {
	answer, err := c.session.Run(ctx, fmt.Sprintf("CONFIG FILTER CHECK type=filter index=%d", c.slot))
	var refused *serverd.CommandError
	switch {
	case errors.As(err, &refused) && len(c.original) > 0:
		return differs(strings.Join(append(refused.Lines, err.Error()), "; "), fmt.Sprintf("the policy of slot %d may have faults of its own", c.slot))
	case err != nil:
		return wrong(err, "`rule install` runs this check, and then takes its edit back: "+pasteReport)
	case len(answer.Lines()) > 0:
		return holds("accepted; the appliance says: " + strings.Join(answer.Lines(), "; "))
	}
	return holds("accepted")
}

func (c *checker) removeRule(ctx context.Context) Finding {
	slot := c.slot
	if err := c.removeTestRule(ctx); err != nil {
		return wrong(err, "the last row tries it again; `rule remove` may not work: "+pasteReport)
	}
	return holds(fmt.Sprintf("the %d lines of slot %d are as before; nothing was activated", len(c.original), slot))
}

// removeTestRule removes the test rule if the copy has it, looks whether the copy is as before, and gives the configuration right back.
func (c *checker) removeTestRule(ctx context.Context) error {
	if c.slot == 0 {
		return nil
	}
	if c.session == nil {
		session, err := c.DialAPI(ctx)
		if err != nil {
			return err
		}
		c.session = session
	}
	defer c.giveRightBack(ctx)
	if err := filter.TakeRight(ctx, c.session); err != nil {
		return err
	}
	copied, err := c.readCopy(ctx)
	if err != nil {
		return err
	}
	if at := addedLine(c.original, copied); at >= 0 {
		if err := c.removePosition(ctx, c.slot, copied[at].Position); err != nil {
			return err
		}
		if copied, err = c.readCopy(ctx); err != nil {
			return err
		}
	}
	if !slices.Equal(texts(copied), texts(c.original)) {
		return fmt.Errorf("the copy of slot %d is not as before", c.slot)
	}
	c.slot = 0
	return nil
}
