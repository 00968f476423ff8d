package filter

import (
	"context"
	"slices"

	"notification-stormshield/stormshield/serverd"
)

// Slots is how many policies an appliance has.
const Slots = 10

// Named returns those of some groups that a rule of any slot names. The rule may be activated or only edited, on or off. Named needs
// the right filter_read. A slot that the appliance refuses to list counts as one without rules.
func Named(ctx context.Context, session Session, groups ...string) ([]string, error) {
	if _, err := activeSlot(ctx, session); err != nil {
		return nil, err
	}
	var named []string
	for slot := 1; slot <= Slots; slot++ {
		for _, v := range []version{activated, edited} {
			lines, split, err := readList(ctx, session, slot, v)
			if err != nil && !serverd.IsRefused(err) {
				return nil, err
			}
			for _, group := range groups {
				if !slices.Contains(named, group) && slices.ContainsFunc(lines, func(l Line) bool { return l.names(group) }) {
					named = append(named, group)
				}
			}
			if !split {
				break
			}
		}
	}
	return named, nil
}

// names reports whether a line names a group, also as an excluded one. For a line that cannot be read, the name as a word is enough.
func (l Line) names(group string) bool {
	if l.Kind == Unknown {
		return l.mentions(group)
	}
	targets := slices.Concat(l.From, l.To)
	return hasName(targets, group) || hasName(targets, "!"+group)
}
