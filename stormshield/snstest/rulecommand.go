package snstest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ruleArguments are the arguments that describe a rule.
const ruleArguments = " state action srctarget dsttarget loglevel rulename comment srcif dstport inspection count"

// editRules changes the copy of the slot that the argument index names. change gets a clone of the rules.
func (c *call) editRules(change func(rules []rule) ([]rule, bool)) answer {
	number, ok := c.slotArgument("index")
	if !ok {
		return plain(statusArgument)
	}
	s := &c.appliance.filter.slots[number-1]
	rules, ok := change(append([]rule{}, s.edited()...))
	if !ok {
		return plain(statusArgument)
	}
	s.copy = rules
	return plain(statusOK)
}

// insert adds a line before the argument position, or at the end.
func (c *call) insert(r rule) answer {
	return c.editRules(func(rules []rule) ([]rule, bool) {
		position, ok := c.position(len(rules)+1, len(rules)+1)
		if !ok || r.name != "" && findRule(rules, r.name) > 0 {
			return nil, false
		}
		return slices.Insert(rules, position-1, r), true
	})
}

// ruleInsert is CONFIG FILTER RULE INSERT.
func (c *call) ruleInsert() answer {
	for _, name := range []string{"state", "action", "srctarget", "dsttarget"} {
		if _, given := c.arguments[name]; !given {
			return plain(statusArgument)
		}
	}
	var r rule
	if !c.describe(&r) {
		return plain(statusArgument)
	}
	return c.insert(r)
}

// ruleUpdate is CONFIG FILTER RULE UPDATE. It changes only what the arguments name.
func (c *call) ruleUpdate() answer {
	return c.editRules(func(rules []rule) ([]rule, bool) {
		name, named := c.arguments["name"]
		position, ok := c.position(len(rules), findRule(rules, name))
		if _, given := c.arguments["position"]; !ok || given == named || rules[position-1].separator != "" {
			return nil, false
		}
		r := &rules[position-1]
		before := r.name
		if !c.describe(r) || r.name != before && r.name != "" && findRule(slices.Delete(slices.Clone(rules), position-1, position), r.name) > 0 {
			return nil, false
		}
		return rules, true
	})
}

// ruleRemove is CONFIG FILTER RULE REMOVE.
func (c *call) ruleRemove() answer {
	return c.editRules(func(rules []rule) ([]rule, bool) {
		position, ok := c.position(len(rules), 0)
		if !ok {
			return nil, false
		}
		return slices.Delete(rules, position-1, position), true
	})
}

var colorPattern = regexp.MustCompile(`^[0-9A-Fa-f]{6}$`)

// ruleAddSeparator is CONFIG FILTER RULE ADDSEP.
func (c *call) ruleAddSeparator() answer {
	color, collapse, comment := c.arguments["color"], c.arguments["collapse"], c.arguments["comment"]
	if !colorPattern.MatchString(color) || collapse != "0" && collapse != "1" || !isComment(comment) {
		return plain(statusArgument)
	}
	return c.insert(rule{separator: fmt.Sprintf("%scolor=%s; collapse=%s; comment=%s", separatorPrefix, color, collapse, comment)})
}

// findRule returns the position of the rule with a name; 0 if there is none.
func findRule(rules []rule, name string) int {
	return slices.IndexFunc(rules, func(r rule) bool { return name != "" && r.name == name }) + 1
}

// isComment reports whether an appliance accepts a comment (vendor's reference).
func isComment(text string) bool { return !strings.ContainsAny(text, "<>#@\"") && isLine(text) }

func isName(text string) bool { return illegal(text) == "" && isLine(text) }

// describe gives a rule the settings in the arguments.
func (c *call) describe(r *rule) bool {
	for name := range strings.FieldsSeq(ruleArguments) { // a fixed order, so that options always print in the same order
		value, given := c.arguments[name]
		if given && !c.describeBy(r, name, value) {
			return false
		}
	}
	return true
}

func (c *call) describeBy(r *rule, name, value string) (ok bool) {
	oneOf := func(values ...string) bool { return slices.Contains(values, value) }
	switch name {
	case "state":
		r.off, ok = value == "off", oneOf("on", "off")
	case "action":
		r.action, ok = value, oneOf(ruleActions...)
	case "srctarget":
		r.source, ok = c.targets(value)
	case "dsttarget":
		r.destination, ok = c.targets(value)
	case "loglevel":
		ok = oneOf("none", "log", "minor", "major")
		r.setLog(value)
	case "rulename":
		r.name, ok = value, value == "" || isName(value)
	case "comment":
		r.comment, ok = value, isComment(value)
	case "srcif":
		r.interfaces, ok = "on "+value, isName(value)
	case "dstport":
		ports := strings.Split(value, ",")
		ok = !slices.ContainsFunc(ports, func(port string) bool { return !isName(port) })
		r.rest = "port " + strings.Join(ports, "|")
		if value == "any" {
			r.rest = ""
		}
	case "inspection":
		ok = oneOf("firewall", "ids", "ips")
		r.setInspection(value)
	case "count":
		ok = oneOf("on", "off")
		r.setCount(value == "on")
	}
	return ok
}

// targets reads any, or a list of objects that the session sees, each with or without "!". The list prints joined by "|", like the
// ports in captured answers.
func (c *call) targets(value string) (joined string, ok bool) {
	if value == "any" {
		return value, true
	}
	names := strings.Split(value, ",")
	for _, name := range names {
		if name = strings.TrimPrefix(name, "!"); !isName(name) || !c.session.view.parse().isTarget(name) {
			return "", false
		}
	}
	return strings.Join(names, "|"), true
}
