package snstest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// rule is one line of a policy: a filter rule or a separator. It keeps the text of every part, and so prints byte for byte as it
// was read.
type rule struct {
	separator string // the whole line of a separator; "" for a rule

	name        string // no source shows that an appliance prints it
	off         bool
	action      string
	options     string // between the action and "from", such as "log inspection ips"
	source      string // targets, joined by "|"
	interfaces  string // after the source
	destination string // like source
	rest        string // after the destination, such as "port https"
	comment     string
}

// The form of a rule is captured:
//
//	off decrypt inspection ips sslfiltering:0 from Network_internals to internet # comment
//
// rulename=NAME: before it, and the form of a separator, are guesses.
const (
	rulePrefix      = "rulename="
	separatorPrefix = "separator; "
)

var ruleActions = []string{"pass", "block", "reset", "log", "deleg", "decrypt"}

// parseRule reads a line of a policy without its position. It refuses a line that it cannot print byte for byte.
func parseRule(line string) (rule, error) {
	var r rule
	if strings.HasPrefix(line, separatorPrefix) {
		r.separator = line
	} else {
		text := line
		if named, ok := strings.CutPrefix(text, rulePrefix); ok {
			r.name, text, _ = strings.Cut(named, ": ")
		}
		text, r.comment, _ = strings.Cut(text, " # ")
		text, r.off = strings.CutPrefix(text, "off ")
		text, targets, _ := strings.Cut(text, " from ")
		r.action, r.options, _ = strings.Cut(text, " ")
		from, to, _ := strings.Cut(targets, " to ")
		r.source, r.interfaces, _ = strings.Cut(from, " ")
		r.destination, r.rest, _ = strings.Cut(to, " ")
	}
	switch {
	case !isLine(line):
		return r, fmt.Errorf("policy line %q is no line of UTF-8 text", line)
	case r.separator == "" && (!slices.Contains(ruleActions, r.action) || r.source == "" || r.destination == ""):
		return r, fmt.Errorf("policy line %q is not [off] ACTION from SOURCE to DESTINATION", line)
	case r.named() != line:
		return r, fmt.Errorf("policy line %q would print as %q", line, r.named())
	}
	return r, nil
}

// isLine reports whether a text is UTF-8 without control characters.
func isLine(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' })
}

func parseRules(lines []string) (rules []rule, err error) {
	for _, line := range lines {
		r, failure := parseRule(line)
		err = errors.Join(err, failure)
		rules = append(rules, r)
	}
	return rules, err
}

// named is the line with the rule's name.
func (r *rule) named() string {
	if r.name == "" {
		return r.String()
	}
	return rulePrefix + r.name + ": " + r.String()
}

func (r *rule) String() string {
	if r.separator != "" {
		return r.separator
	}
	var b strings.Builder
	if r.off {
		b.WriteString("off ")
	}
	for _, part := range []struct{ before, text string }{
		{"", r.action}, {" ", r.options}, {" from ", r.source}, {" ", r.interfaces}, {" to ", r.destination}, {" ", r.rest}, {" # ", r.comment},
	} {
		if part.text != "" {
			b.WriteString(part.before + part.text)
		}
	}
	return b.String()
}

func ruleLines(rules []rule) []string {
	lines := make([]string, len(rules))
	for i := range rules {
		lines[i] = rules[i].named()
	}
	return lines
}

// logs reports whether the rule logs the packets that it matches. A rule with action log and no log level logs no packet.
func (r *rule) logs() bool { return strings.HasPrefix(r.options+" ", "log ") }

// setLog replaces the log level. The forms "log minor" and "log major" are guesses.
func (r *rule) setLog(level string) {
	words := strings.Fields(r.options)
	if r.logs() {
		words = words[1:]
		if len(words) > 0 && (words[0] == "minor" || words[0] == "major") {
			words = words[1:]
		}
	}
	switch level {
	case "log":
		words = slices.Insert(words, 0, "log")
	case "minor", "major":
		words = slices.Insert(words, 0, "log", level)
	}
	r.options = strings.Join(words, " ")
}

func (r *rule) setInspection(value string) {
	words := strings.Fields(r.options)
	if at := slices.Index(words, "inspection"); at >= 0 && at+1 < len(words) {
		words[at+1] = value
	} else {
		words = append(words, "inspection", value)
	}
	r.options = strings.Join(words, " ")
}

func (r *rule) setCount(on bool) {
	words := slices.DeleteFunc(strings.Fields(r.options), func(word string) bool { return word == "count" })
	if on {
		words = append(words, "count")
	}
	r.options = strings.Join(words, " ")
}

// targets are the objects that a rule names as its source or destination, without "any" and "!".
func (r *rule) targets() (names []string) {
	for name := range strings.SplitSeq(r.source+"|"+r.destination, "|") {
		if name = strings.TrimPrefix(name, "!"); name != "any" && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// renamedTargets returns the rules after an object got another name.
func renamedTargets(rules []rule, from, to string) []rule {
	rules = slices.Clone(rules)
	for i := range rules {
		for _, targets := range []*string{&rules[i].source, &rules[i].destination} {
			names := strings.Split(*targets, "|")
			for n := range names {
				if strings.TrimPrefix(names[n], "!") == from {
					names[n] = strings.TrimSuffix(names[n], from) + to
				}
			}
			*targets = strings.Join(names, "|")
		}
	}
	return rules
}

// isTarget reports whether a rule may name an object.
func (b *objectBase) isTarget(name string) bool {
	_, address := b.addresses[name]
	_, group := b.groups[name]
	return address || group || b.others[name] || isImplicit(name)
}

// isImplicit reports whether an appliance makes an object by itself. Such objects stand for no address here.
func isImplicit(name string) bool {
	lower := strings.ToLower(name)
	return lower == "internet" || strings.HasPrefix(lower, "firewall_") || strings.HasPrefix(lower, "network_")
}

// unknownTargets returns an error for each object that rules name and that does not exist.
func unknownTargets(rules []rule, objects *objectBase) (err error) {
	for i := range rules {
		for _, name := range rules[i].targets() {
			if !objects.isTarget(name) {
				err = errors.Join(err, fmt.Errorf("position %d: unknown object %s", i+1, name))
			}
		}
	}
	return err
}
