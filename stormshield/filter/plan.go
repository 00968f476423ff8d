package filter

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// rule is the settings of one of our rules.
type rule struct {
	on                                bool
	action, log, from, to, name, text string // text is the comment
}

// secondSuffix ends the name of the second of two rules, because two rules cannot have one name.
const secondSuffix = "_out"

// rules returns the rules that the appliance shall have, in their order.
func (w Wanted) rules() []rule {
	var rules []rule
	if w.Direction != "out" {
		rules = append(rules, rule{on: true, action: w.Action, log: w.Log, from: w.Group, to: "any", name: w.Name, text: w.comment("source")})
	}
	if w.Direction != "in" {
		out := rule{on: true, action: w.Action, log: w.Log, from: "any", to: w.Group, name: w.Name, text: w.comment("destination")}
		if w.Direction == "both" {
			out.name += secondSuffix
		}
		rules = append(rules, out)
	}
	return rules
}

// comment has every setting of a rule, because no source shows how a list prints each of them.
func (w Wanted) comment(side string) string {
	return fmt.Sprintf("%s%s: bans as %s, %s, log %s", marker, w.Name, side, w.Action, w.Log)
}

// side returns the part of a comment that says whether the bans are sources or destinations.
func side(comment string) string {
	_, settings, _ := strings.Cut(comment, ": ")
	side, _, _ := strings.Cut(settings, ",")
	return strings.TrimPrefix(side, "bans as ")
}

// isMetBy reports whether a rule of the appliance has these settings. An administrator may have added other settings.
func (r rule) isMetBy(l Line) bool {
	return l.Off != r.on && l.Action == r.action && slices.Equal(l.From, []string{r.from}) && slices.Equal(l.To, []string{r.to}) &&
		l.Comment == r.text && (l.Name == "" || l.Name == r.name)
}

var logForm = regexp.MustCompile(`, log (none|minor|major)$`)

// settings returns the settings of one of our rules, to restore them. A list may not show the name of the rule.
func (l Line) settings(present []Line, name string) rule {
	isSource := func(l Line) bool { return side(l.Comment) == "source" }
	if !isSource(l) && slices.ContainsFunc(Of(present, name), isSource) {
		name += secondSuffix
	}
	r := rule{on: !l.Off, action: l.Action, from: strings.Join(l.From, ","), to: strings.Join(l.To, ","), name: cmp.Or(l.Name, name), text: l.Comment}
	if level := logForm.FindStringSubmatch(l.Comment); level != nil {
		r.log = level[1]
	}
	return r
}

// line returns the line that a new rule becomes.
func (r rule) line(position int) Line {
	return Line{
		Kind: Rule, Position: position, Off: !r.on, Action: r.action, From: []string{r.from}, To: []string{r.to}, Comment: r.text,
		Text: fmt.Sprintf("%s from %s to %s # %s", r.action, r.from, r.to, r.text),
	}
}

// arguments returns the settings as arguments of a command.
func (r rule) arguments() string {
	state, level := "off", r.log
	if r.on {
		state = "on"
	}
	if r.action == "log" && level == "none" {
		level = "log" // such a rule does nothing but log
	}
	if level != "" {
		level = " loglevel=" + level
	}
	return fmt.Sprintf(`state=%s action=%s srctarget=%s dsttarget=%s%s rulename=%s comment="%s"`, state, r.action, r.from, r.to, level, r.name, r.text)
}

// operation is one command on the copy of a slot. before is the line that the command changes or removes, after the one that it makes.
type operation struct {
	before, after *Line
	settings      rule // of after
	atEnd         bool // INSERT without a position
}

func (o operation) command(slot int) string {
	in := fmt.Sprintf("index=%d type=filter", slot)
	switch {
	case o.after == nil:
		return fmt.Sprintf("CONFIG FILTER RULE REMOVE %s position=%d", in, o.before.Position)
	case o.before != nil:
		return fmt.Sprintf("CONFIG FILTER RULE UPDATE %s position=%d %s", in, o.before.Position, o.settings.arguments())
	case o.atEnd:
		return fmt.Sprintf("CONFIG FILTER RULE INSERT %s %s", in, o.settings.arguments())
	}
	return fmt.Sprintf("CONFIG FILTER RULE INSERT %s position=%d %s", in, o.after.Position, o.settings.arguments())
}

// apply returns a policy after an operation.
func (o operation) apply(lines []Line) []Line {
	var out []Line
	for _, l := range lines {
		switch {
		case o.before != nil && l.Position == o.before.Position:
			if o.after != nil {
				out = append(out, *o.after)
			}
			continue
		case o.after == nil && l.Position > o.before.Position:
			l.Position--
		case o.before == nil && l.Position >= o.after.Position:
			if l.Position == o.after.Position {
				out = append(out, *o.after)
			}
			l.Position++
		}
		out = append(out, l)
	}
	if o.before == nil && o.atEnd {
		out = append(out, *o.after)
	}
	return out
}

// inverse returns the operation that takes this one back. lines is the policy after it, and original the policy before all operations.
func (o operation) inverse(lines, original []Line, name string) operation {
	inverse := operation{before: o.after, after: o.before}
	if o.before != nil {
		inverse.settings = o.before.settings(original, name)
		inverse.atEnd = o.after == nil && o.before.Position > lastPosition(lines)
	}
	return inverse
}

func lastPosition(lines []Line) int {
	if len(lines) == 0 {
		return 0
	}
	return lines[len(lines)-1].Position
}

// plan returns the operations that give a copy the wanted rules. First it gives each wanted rule one of our present rules,
// preferably the one of the same side. A present rule keeps its place.
func plan(lines []Line, w Wanted, wanted []rule) (operations []operation) {
	present := Of(lines, w.Name)
	kept := make([]*Line, len(wanted))
	for _, sameSide := range []bool{true, false} {
		for i, r := range wanted {
			found := slices.IndexFunc(present, func(l Line) bool { return !sameSide || side(l.Comment) == side(r.text) })
			if kept[i] == nil && found >= 0 {
				kept[i] = &present[found]
				present = slices.Concat(present[:found], present[found+1:])
			}
		}
	}
	add := func(o operation) {
		operations = append(operations, o)
		lines = o.apply(lines)
	}
	for _, l := range slices.Backward(present) { // from the end, so that the other positions stay true
		add(operation{before: &l})
		for _, k := range kept {
			if k != nil && k.Position > l.Position {
				k.Position--
			}
		}
	}
	// The names of the rules depend on their number, and the list may not show them.
	renames := len(operations) > 0 || slices.Contains(kept, nil) && len(kept) > 1
	for i, r := range wanted {
		if k := kept[i]; k != nil && (renames || !r.isMetBy(*k)) {
			before, after := *k, r.line(k.Position)
			add(operation{before: &before, after: &after, settings: r})
		}
	}
	position := max(1, w.Position)
	for i, r := range wanted {
		if k := kept[i]; k != nil {
			position = k.Position + 1
			continue
		}
		if i == 0 && len(kept) > 1 && kept[1] != nil {
			position = kept[1].Position // the first of two goes before the second
			kept[1].Position++
		}
		last := lastPosition(lines)
		after := r.line(min(position, last+1))
		add(operation{after: &after, settings: r, atEnd: position > last})
		position = after.Position + 1
	}
	return operations
}
