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
func (r rule) isMetBy(e Entry) bool {
	return e.Off != r.on && e.Action == r.action && slices.Equal(e.From, []string{r.from}) && slices.Equal(e.To, []string{r.to}) &&
		e.Comment == r.text && (e.Name == "" || e.Name == r.name)
}

var logForm = regexp.MustCompile(`, log (none|minor|major)$`)

// settings returns the settings of one of our rules, to restore them. A list may not show the name of the rule.
func (e Entry) settings(present []Entry, name string) rule {
	isSource := func(e Entry) bool { return side(e.Comment) == "source" }
	if !isSource(e) && slices.ContainsFunc(Of(present, name), isSource) {
		name += secondSuffix
	}
	r := rule{on: !e.Off, action: e.Action, from: strings.Join(e.From, ","), to: strings.Join(e.To, ","), name: cmp.Or(e.Name, name), text: e.Comment}
	if level := logForm.FindStringSubmatch(e.Comment); level != nil {
		r.log = level[1]
	}
	return r
}

// entry returns the line that a new rule becomes.
func (r rule) entry(position int) Entry {
	return Entry{
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

// operation is one command on the copy of a slot. before is the entry that the command changes or removes, after the one that it makes.
type operation struct {
	before, after *Entry
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
func (o operation) apply(entries []Entry) []Entry {
	var out []Entry
	for _, e := range entries {
		switch {
		case o.before != nil && e.Position == o.before.Position:
			if o.after != nil {
				out = append(out, *o.after)
			}
			continue
		case o.after == nil && e.Position > o.before.Position:
			e.Position--
		case o.before == nil && e.Position >= o.after.Position:
			if e.Position == o.after.Position {
				out = append(out, *o.after)
			}
			e.Position++
		}
		out = append(out, e)
	}
	if o.before == nil && o.atEnd {
		out = append(out, *o.after)
	}
	return out
}

// inverse returns the operation that takes this one back. entries is the policy after it, and original the policy before all operations.
func (o operation) inverse(entries, original []Entry, name string) operation {
	inverse := operation{before: o.after, after: o.before}
	if o.before != nil {
		inverse.settings = o.before.settings(original, name)
		inverse.atEnd = o.after == nil && o.before.Position > lastPosition(entries)
	}
	return inverse
}

func lastPosition(entries []Entry) int {
	if len(entries) == 0 {
		return 0
	}
	return entries[len(entries)-1].Position
}

// plan returns the operations that give a copy the wanted rules. First it gives each wanted rule one of our present rules,
// preferably the one of the same side. A present rule keeps its place.
func plan(entries []Entry, w Wanted, wanted []rule) (operations []operation) {
	present := Of(entries, w.Name)
	kept := make([]*Entry, len(wanted))
	for _, sameSide := range []bool{true, false} {
		for i, r := range wanted {
			found := slices.IndexFunc(present, func(e Entry) bool { return !sameSide || side(e.Comment) == side(r.text) })
			if kept[i] == nil && found >= 0 {
				kept[i] = &present[found]
				present = slices.Concat(present[:found], present[found+1:])
			}
		}
	}
	add := func(o operation) {
		operations = append(operations, o)
		entries = o.apply(entries)
	}
	for _, e := range slices.Backward(present) { // from the end, so that the other positions stay true
		add(operation{before: &e})
		for _, k := range kept {
			if k != nil && k.Position > e.Position {
				k.Position--
			}
		}
	}
	// The names of the rules depend on their number, and the list may not show them.
	renames := len(operations) > 0 || slices.Contains(kept, nil) && len(kept) > 1
	for i, r := range wanted {
		if k := kept[i]; k != nil && (renames || !r.isMetBy(*k)) {
			before, after := *k, r.entry(k.Position)
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
		last := lastPosition(entries)
		after := r.entry(min(position, last+1))
		add(operation{after: &after, settings: r, atEnd: position > last})
		position = after.Position + 1
	}
	return operations
}
