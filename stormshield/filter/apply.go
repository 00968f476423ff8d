package filter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"notification-stormshield/stormshield/serverd"
)

// Options say how to apply a change.
type Options struct {
	// ActivatePending also activates edits of somebody else that are not active yet.
	ActivatePending bool
	// Progress is called when a step begins, and Warn with a warning of the appliance. Both may be nil.
	Progress, Warn func(text string)
}

// HeldError says that somebody else holds the configuration right.
type HeldError struct{ Err error }

func (e *HeldError) Error() string {
	return fmt.Sprintf("an administrator is changing the configuration of the appliance: %v; nothing was changed "+
		"(hint: run this again when the administrator has left the web administration)", e.Err)
}

func (e *HeldError) Unwrap() error { return e.Err }

// UnknownGroupError says that the appliance refuses a rule because it does not know the group.
type UnknownGroupError struct {
	Group string
	Err   error
}

func (e *UnknownGroupError) Error() string {
	return fmt.Sprintf("the appliance does not know the group %s: %v (hint: the plugin writes the group with its first flush)", e.Group, e.Err)
}

func (e *UnknownGroupError) Unwrap() error { return e.Err }

const (
	// givingBackTimeout limits how long a failed run takes back its edit, and how long a run gives back the right.
	givingBackTimeout = 15 * time.Second
	// activationTimeout limits the activation of the policy. An interrupt does not cut the activation, so that its outcome is known.
	activationTimeout = 2 * time.Minute
)

// Apply makes a change and activates it. Meanwhile it holds the configuration right, which it never takes from somebody else. If
// somebody changed the policy after the change was worked out, or if any step before the activation fails, Apply takes its edit back.
// The running rules are the old ones or the wanted ones, never a part of both. The error says which.
func (c *Change) Apply(ctx context.Context, session Session, o Options) error {
	if inactive := c.InactiveEdits(); inactive != nil && !o.ActivatePending {
		return inactive
	}
	o.progress("taking the configuration right")
	defer GiveBack(ctx, session)
	if err := TakeRight(ctx, session); err != nil {
		return err
	}
	if err := c.checkUnchanged(ctx, session, 0); err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	c.done = 0 // an earlier try took back what it did
	if err := c.edit(ctx, session, o); err != nil {
		return c.takeBack(ctx, session, err)
	}
	return c.activate(ctx, session, o)
}

func (o Options) progress(step string) {
	if o.Progress != nil {
		o.Progress(step)
	}
}

// TakeRight takes the configuration right. If somebody else holds it, the error is a [HeldError].
func TakeRight(ctx context.Context, session Session) error {
	_, err := session.Run(ctx, "MODIFY ON")
	var refused *serverd.CommandError
	switch {
	case err == nil:
		return nil
	case serverd.IsForbidden(err):
		return err
	case errors.As(err, &refused):
		return &HeldError{err}
	}
	return fmt.Errorf("%w; nothing was changed", err)
}

// GiveBack gives the configuration right back. The appliance takes the right back when the session ends, so an error does not matter.
func GiveBack(ctx context.Context, session Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), givingBackTimeout)
	defer cancel()
	_, _ = session.Run(ctx, "MODIFY OFF")
}

// ErrChanged says that somebody changed the policy after it was read.
var ErrChanged = errors.New("the policy changed meanwhile (hint: run the command again)")

// checkUnchanged reads the policy again. It returns an error unless the copy is as planned after the first done operations, and
// everything else is as it was.
func (c *Change) checkUnchanged(ctx context.Context, session Session, done int) error {
	policy, active, err := readBoth(ctx, session, c.Policy.Slot)
	if err != nil {
		return fmt.Errorf("read the policy again: %w", err)
	}
	name := c.wanted.Name
	asBefore, planned := c.Policy, c.Policy
	planned.Copy = c.states[done]
	isSame := policy.isSame(planned, name)
	if planned.Unsplit { // no source shows which version such an appliance prints
		planned.Activated = planned.Copy
		isSame = policy.isSame(planned, name) || policy.isSame(asBefore, name)
	}
	if !isSame || (active == nil) != (c.active == nil) || active != nil && !active.isSame(*c.active, name) {
		return ErrChanged
	}
	return nil
}

// edit runs the operations, lets the appliance check the copy, and reads the copy back.
func (c *Change) edit(ctx context.Context, session Session, o Options) error {
	o.progress("editing the policy")
	for _, op := range c.operations {
		if err := c.run(ctx, session, op); err != nil {
			return err
		}
		c.done++
	}
	o.progress("checking the policy")
	answer, err := session.Run(ctx, fmt.Sprintf("CONFIG FILTER CHECK type=filter index=%d", c.Policy.Slot))
	var refused *serverd.CommandError
	if errors.As(err, &refused) && len(refused.Lines) > 0 {
		return fmt.Errorf("the check of the policy failed: %s: %w", strings.Join(refused.Lines, "; "), err)
	}
	if err != nil {
		return fmt.Errorf("the check of the policy failed: %w", err)
	}
	if o.Warn != nil {
		for _, line := range answer.Lines() {
			o.Warn("the check of the policy says: " + line)
		}
	}
	return c.checkUnchanged(ctx, session, len(c.operations))
}

// run runs an operation. If the appliance refuses it, run asks whether the group is the reason.
func (c *Change) run(ctx context.Context, session Session, o operation) error {
	_, err := session.Run(ctx, o.command(c.Policy.Slot))
	if o.after != nil && serverd.IsRefused(err) {
		if _, unknown := session.Run(ctx, "CONFIG OBJECT GROUP SHOW name="+c.wanted.Group); serverd.IsRefused(unknown) {
			return &UnknownGroupError{c.wanted.Group, err}
		}
	}
	return err
}

// takeBack takes back the operations that were done. The error that it returns also says in which state the policy is.
func (c *Change) takeBack(ctx context.Context, session Session, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), givingBackTimeout)
	defer cancel()
	if err := c.undo(ctx, session); err != nil {
		return fmt.Errorf("%w; nothing was activated, and a part of the edit may be left in the policy of slot %d, not active (%w) (hint: run the same command again)",
			cause, c.Policy.Slot, err)
	}
	return fmt.Errorf("%w; nothing was activated, and our rules in the policy are as before", cause)
}

var errUnknownState = errors.New("the policy does not show our rules as expected")

// undo runs the inverse operations. The answer to the last operation may be lost, so undo compares our own rules with each planned
// state to find out which operations were done. It finds a rule that somebody moved by its settings.
func (c *Change) undo(ctx context.Context, session Session) error {
	name := c.wanted.Name
	lines, _, err := readList(ctx, session, c.Policy.Slot, edited)
	if err != nil {
		return err
	}
	done := len(c.operations)
	for ; done >= c.done && !hasSameRules(lines, c.states[done], name); done-- {
	}
	if done < c.done {
		return errUnknownState
	}
	for i := range slices.Backward(c.operations[:done]) {
		o := c.operations[i].inverse(lines, c.states[0], name)
		if o.before != nil {
			found := slices.IndexFunc(lines, func(l Line) bool { return l.IsOf(name) && l.hasSameSettings(*o.before) })
			if found < 0 {
				return errUnknownState
			}
			o.before = &lines[found]
		}
		if _, err := session.Run(ctx, o.command(c.Policy.Slot)); err != nil {
			return err
		}
		lines = o.apply(lines)
	}
	lines, _, err = readList(ctx, session, c.Policy.Slot, edited)
	if err == nil && !hasSameRules(lines, c.states[0], name) {
		err = errUnknownState
	}
	return err
}

// activate activates the copy, and reads the result. If the slot is the active one, it also loads the slot.
func (c *Change) activate(ctx context.Context, session Session, o Options) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), activationTimeout)
	defer cancel()
	o.progress("activating the policy")
	_, err := session.Run(ctx, "CONFIG FILTER ACTIVATE")
	var refused *serverd.CommandError
	if errors.As(err, &refused) {
		return c.takeBack(ctx, session, err)
	}
	if err != nil {
		return fmt.Errorf("%w; it is not known whether the appliance activated the rules (hint: run `rule show`, then the same command again)", err)
	}
	if err := c.load(ctx, session); err != nil {
		return fmt.Errorf("%w; the appliance activated the rules, and may still run those of before (hint: run the same command again)", err)
	}
	lines, _, err := readList(ctx, session, c.Policy.Slot, activated)
	if err != nil {
		return fmt.Errorf("%w; the appliance activated the rules, and did not show them (hint: run `rule show`)", err)
	}
	if !isAsPlanned(lines, c.after(), c.wanted.Name) {
		return errors.New("the appliance activated other rules than the copy had: somebody else changed the policy at the same time " +
			"(hint: look at the policy; `rule show` shows our rules)")
	}
	return nil
}

// load makes the appliance run the activated rules, if the slot is still the active one.
func (c *Change) load(ctx context.Context, session Session) error {
	active, err := activeSlot(ctx, session)
	if err != nil || active != c.Policy.Slot {
		return err
	}
	_, err = session.Run(ctx, fmt.Sprintf("CONFIG SLOT ACTIVATE type=filter slot=%d", active))
	return err
}
