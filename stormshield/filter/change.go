package filter

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Change is what [Install] or [Remove] found out: the policy, and the operations that give it the wanted rules.
type Change struct {
	// Policy has the rules, as they were before the change.
	Policy Policy
	// Unloaded says that the activated policy has the wanted rules, and the running rules are others.
	Unloaded bool

	wanted     Wanted
	rules      []rule
	active     *Policy // of the active slot, if Policy is another one
	operations []operation
	states     [][]Line // the copy before the first operation, and after each operation
	done       int      // operations that the appliance confirmed
}

// Install works out the change that gives the appliance the wanted rules. It changes nothing.
func Install(ctx context.Context, session Session, w Wanted) (*Change, error) {
	return newChange(ctx, session, w, w.rules())
}

// Remove works out the change that removes every rule with this name. It changes nothing.
func Remove(ctx context.Context, session Session, w Wanted) (*Change, error) {
	return newChange(ctx, session, w, nil)
}

func newChange(ctx context.Context, session Session, w Wanted, rules []rule) (*Change, error) {
	c := &Change{wanted: w, rules: rules}
	var err error
	if c.Policy, c.active, err = readBoth(ctx, session, w.Slot); err != nil {
		return nil, err
	}
	if err := checkReadable(c.Policy.Copy); err != nil {
		return nil, err
	}
	for _, l := range c.Policy.Copy {
		if l.Kind == Rule && !l.IsOurs() && slices.ContainsFunc(w.rules(), func(r rule) bool { return r.name == l.Name }) {
			return nil, fmt.Errorf("the rule %s at position %d of slot %d is not ours: its comment does not begin with %q (hint: choose another name, stormshield.rule.name)",
				l.Name, l.Position, c.Policy.Slot, marker+w.Name+":")
		}
	}
	c.operations = plan(c.Policy.Copy, w, rules)
	c.states = [][]Line{c.Policy.Copy}
	for i, o := range c.operations {
		c.states = append(c.states, o.apply(c.states[i]))
	}
	if c.Policy.Active && len(c.operations) == 0 {
		c.Unloaded = c.isUnloaded(ctx, session)
	}
	return c, nil
}

// checkReadable returns an error if the list has an unknown form. A change would then not find our rules.
func checkReadable(lines []Line) error {
	isUnreadable := func(l Line) bool { return l.Kind == Unknown && strings.Contains(l.Text, marker) }
	if !slices.ContainsFunc(lines, func(l Line) bool { return l.Kind == Rule }) {
		isUnreadable = func(l Line) bool { return l.Kind == Unknown }
	}
	if i := slices.IndexFunc(lines, isUnreadable); i >= 0 {
		return fmt.Errorf("the appliance lists its rules in an unknown form: %.200q (hint: make the rule by hand, and report this line)", lines[i].Text)
	}
	return nil
}

// readBoth reads the policy of a slot, and that of the active slot if it is another one: CONFIG FILTER ACTIVATE names no slot, and
// may activate the edits of both.
func readBoth(ctx context.Context, session Session, slot int) (p Policy, active *Policy, err error) {
	if p, err = Read(ctx, session, slot); err != nil || p.Active {
		return p, nil, err
	}
	number, err := activeSlot(ctx, session)
	if err != nil || number == 0 {
		return p, nil, err
	}
	running, err := readPolicy(ctx, session, number, number)
	return p, &running, err
}

// isUnloaded asks MONITOR FILTER for the running rules, because an earlier load of the policy may have failed. No source shows the
// form of the answer. So the answer counts only if it has another rule of the policy, in the form of CONFIG FILTER EXPLICIT.
func (c *Change) isUnloaded(ctx context.Context, session Session) bool {
	answer, err := session.Run(ctx, "MONITOR FILTER")
	if err != nil {
		return false
	}
	running := parseList(answer.Lines())
	known := others(running, c.wanted.Name)
	if !slices.ContainsFunc(c.Policy.Activated, func(l Line) bool {
		return l.Kind == Rule && !l.IsOf(c.wanted.Name) && slices.Contains(known, l.Text)
	}) {
		return false
	}
	return !hasSameRules(running, c.after(), c.wanted.Name)
}

// after returns the copy as the change makes it.
func (c *Change) after() []Line { return c.states[len(c.states)-1] }

// IsEmpty reports whether there is nothing to do: our rules are as wanted, in the copy and activated.
func (c *Change) IsEmpty() bool {
	return len(c.operations) == 0 && !c.Unloaded && hasSameRules(c.Policy.Activated, c.after(), c.wanted.Name)
}

// Diff returns how our activated rules differ from the wanted ones: "- POSITION: RULE" and "+ POSITION: RULE".
func (c *Change) Diff() []string {
	before, after := Of(c.Policy.Activated, c.wanted.Name), Of(c.after(), c.wanted.Name)
	lacks := func(in []Line, l Line) bool {
		return !slices.ContainsFunc(in, func(o Line) bool { return o.Position == l.Position && o.hasSameSettings(l) })
	}
	var lines []string
	for _, l := range before {
		if lacks(after, l) {
			lines = append(lines, fmt.Sprintf("- %d: %s", l.Position, l.Text))
		}
	}
	for _, l := range after {
		if lacks(before, l) {
			lines = append(lines, fmt.Sprintf("+ %d: %s", l.Position, l.Text))
		}
	}
	return lines
}

// hasSameSettings compares two of our rules.
func (l Line) hasSameSettings(o Line) bool {
	return l.Off == o.Off && l.Action == o.Action && slices.Equal(l.From, o.From) && slices.Equal(l.To, o.To) && l.Comment == o.Comment
}

// hasSameRules reports whether two versions of a policy have the same rules of ours, in the same order.
func hasSameRules(a, b []Line, name string) bool {
	return slices.EqualFunc(Of(a, name), Of(b, name), Line.hasSameSettings)
}

// isAsPlanned reports whether a version of a policy has our rules at their places with the planned settings, and each other line as it was.
func isAsPlanned(got, planned []Line, name string) bool {
	return slices.EqualFunc(got, planned, func(g, p Line) bool {
		if g.IsOf(name) || p.IsOf(name) {
			return g.IsOf(name) && p.IsOf(name) && g.hasSameSettings(p)
		}
		return g.Text == p.Text
	})
}

// InactiveEditsError says that to activate the policy would also activate edits of somebody else.
type InactiveEditsError struct {
	Slot  int
	Edits []string // "+ LINE" and "- LINE"; nil: the appliance does not tell
}

func (e *InactiveEditsError) Error() string {
	if e.Edits == nil {
		return fmt.Sprintf("the appliance does not say whether the policy of slot %d has edits that are not active yet; to activate the policy would activate them too", e.Slot)
	}
	return fmt.Sprintf("the policy of slot %d has edits of somebody else that are not active yet (%d), and to activate the policy would activate them too", e.Slot, len(e.Edits))
}

// InactiveEdits returns an error if Apply would also activate edits of somebody else, or if the appliance does not say whether there are any.
func (c *Change) InactiveEdits() *InactiveEditsError {
	policies := []Policy{c.Policy}
	if c.active != nil {
		policies = append(policies, *c.active)
	}
	for _, p := range policies {
		if edits := p.InactiveEdits(c.wanted.Name); p.Unsplit || len(edits) > 0 {
			return &InactiveEditsError{Slot: p.Slot, Edits: edits}
		}
	}
	return nil
}
