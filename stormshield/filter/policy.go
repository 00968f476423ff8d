package filter

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Policy is the policy of one slot.
type Policy struct {
	Slot   int
	Active bool // the appliance runs this slot
	// Copy is what administrators edit. Activated is what the appliance has activated.
	Copy, Activated []Line
	// Unsplit says that the appliance lists only one version. Copy and Activated are then equal.
	Unsplit bool
}

// Read reads the policy of a slot; 0 is the active one. It needs the right filter_read.
func Read(ctx context.Context, session Session, slot int) (Policy, error) {
	active, err := activeSlot(ctx, session)
	if err != nil {
		return Policy{}, err
	}
	if slot == 0 {
		slot = active
	}
	if slot == 0 {
		return Policy{}, fmt.Errorf("the appliance has no active filter policy (hint: activate one, or name the slot of another: stormshield.rule.slot)")
	}
	return readPolicy(ctx, session, slot, active)
}

func readPolicy(ctx context.Context, session Session, slot, active int) (Policy, error) {
	p := Policy{Slot: slot, Active: slot == active}
	var split, splitToo bool
	var err error
	if p.Activated, split, err = readList(ctx, session, slot, activated); err != nil {
		return Policy{}, err
	}
	// The copy is read last, because the next command may activate it.
	if p.Copy, splitToo, err = readList(ctx, session, slot, edited); err != nil {
		return Policy{}, err
	}
	p.Unsplit = !split || !splitToo
	return p, nil
}

// marker begins the comment of each rule of this program.
const marker = "crowdsec-stormshield "

// IsOf reports whether a line is a rule of the document that has this rule name.
func (l Line) IsOf(name string) bool {
	return l.Kind == Rule && strings.HasPrefix(l.Comment, marker+name+":")
}

// IsOurs reports whether a line is a rule of this program, whatever its name.
func (l Line) IsOurs() bool { return l.Kind == Rule && strings.HasPrefix(l.Comment, marker) }

// Of returns the rules of a version of a policy that have this name.
func Of(lines []Line, name string) []Line {
	return slices.DeleteFunc(slices.Clone(lines), func(l Line) bool { return !l.IsOf(name) })
}

// others returns the texts of the lines that are not of this name, in their order.
func others(lines []Line, name string) []string {
	var texts []string
	for _, l := range lines {
		if !l.IsOf(name) {
			texts = append(texts, l.Text)
		}
	}
	return texts
}

// InactiveEdits returns the edits of the copy that are not active, except those of the rules with this name: "+ TEXT" and "- TEXT".
func (p Policy) InactiveEdits(name string) []string {
	before, after := others(p.Activated, name), others(p.Copy, name)
	if slices.Equal(before, after) {
		return nil
	}
	lines := append(missing("- ", before, after), missing("+ ", after, before)...)
	if len(lines) == 0 {
		return []string{"the order of the rules"}
	}
	return lines
}

// missing returns the texts that the list from lacks, each with a prefix.
func missing(prefix string, texts, from []string) []string {
	count := map[string]int{}
	for _, text := range from {
		count[text]++
	}
	var lacks []string
	for _, text := range texts {
		if count[text]--; count[text] < 0 {
			lacks = append(lacks, prefix+text)
		}
	}
	return lacks
}

// isSame reports whether two policies are the same: our rules at the same places with the same settings, and every other line with the
// same text.
func (p Policy) isSame(q Policy, name string) bool {
	return p.Slot == q.Slot && p.Active == q.Active && p.Unsplit == q.Unsplit &&
		isAsPlanned(p.Copy, q.Copy, name) && isAsPlanned(p.Activated, q.Activated, name)
}
