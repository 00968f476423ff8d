package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"notification-stormshield/config"
	"notification-stormshield/plugin/health"
	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/serverd"
)

func ruleShowCommand() command {
	var o selection
	return command{
		usage:   "show [-c FILE] [-n NAME]",
		summary: "Show the rules of this program on the appliance",
		help: `Lists the rules of this program in the policy, of this configuration and of
others, and says which rules are in force. A rule is not in force if it is off, if
its slot is not the active one, or if it is not activated yet. This command
changes nothing, and needs the right filter_read.

With --json: host, slot, active (whether the slot is the active one), rules (a
list of: position, rule, own (of this configuration), activated, in_force).`,
		example: "  crowdsec-stormshield rule show",
		bind:    o.bind,
		run:     func(ctx context.Context, _ []string, out output) error { return runRuleShow(ctx, o, out) },
	}
}

// shownPolicy is the policy with the rules of this program, as JSON.
type shownPolicy struct {
	Host   string      `json:"host"`
	Slot   int         `json:"slot"`
	Active bool        `json:"active"`
	Rules  []shownRule `json:"rules"`
}

type shownRule struct {
	Position  int    `json:"position"`
	Rule      string `json:"rule"`
	Own       bool   `json:"own"`
	Activated bool   `json:"activated"`
	InForce   bool   `json:"in_force"`
}

func runRuleShow(ctx context.Context, o selection, out output) error {
	var policy filter.Policy
	d, err := readRules(ctx, o, func(d config.Document, session *serverd.Session) (err error) {
		policy, err = filter.Read(ctx, session, d.Stormshield.Rule.Slot)
		return err
	})
	if err != nil {
		return err
	}
	shown := showPolicy(d, policy)
	if o.json {
		return out.printJSON(shown)
	}
	return shown.print(out.stdout, policy)
}

// readRules loads the configuration, and logs in to the API for as long as read runs.
func readRules(ctx context.Context, o selection, read func(config.Document, *serverd.Session) error) (config.Document, error) {
	d, err := o.load(config.Load)
	if err != nil {
		return d, err
	}
	holdOff, err := prepareLogin(&d)
	if err != nil {
		return d, err
	}
	return d, withSession(ctx, d, holdOff, func(session *serverd.Session) error { return read(d, session) })
}

// showPolicy returns the rules of this program: first the activated ones, then those that only the copy has.
func showPolicy(d config.Document, p filter.Policy) shownPolicy {
	shown := shownPolicy{Host: d.Stormshield.Host, Slot: p.Slot, Active: p.Active, Rules: []shownRule{}}
	add := func(e filter.Line, activated bool) {
		shown.Rules = append(shown.Rules, shownRule{e.Position, e.Text, e.IsOf(d.Stormshield.Rule.Name), activated, activated && p.Active && !e.Off})
	}
	for _, e := range p.Activated {
		if e.IsOurs() {
			add(e, true)
		}
	}
	for _, e := range p.Copy {
		if e.IsOurs() && !slices.ContainsFunc(p.Activated, func(a filter.Line) bool { return a.Text == e.Text }) {
			add(e, false)
		}
	}
	return shown
}

func (s shownPolicy) print(out io.Writer, p filter.Policy) error {
	if len(s.Rules) == 0 {
		_, err := fmt.Fprintf(out, "%s: no rule of this program in %s\n", s.Host, slotName(p))
		return err
	}
	fmt.Fprintf(out, "%s: %s in %s\n", s.Host, health.FormatCount(len(s.Rules), "rule of this program", "rules of this program"), slotName(p))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "POSITION\tIN FORCE\tCONFIGURATION\tRULE")
	for _, r := range s.Rules {
		inForce, configuration := "no", "another"
		switch {
		case r.InForce:
			inForce = "yes"
		case !r.Activated:
			inForce = "not activated"
		}
		if r.Own {
			configuration = "this"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\n", r.Position, inForce, configuration, r.Rule)
	}
	return table.Flush()
}

func ruleDiffCommand() command {
	var o selection
	return command{
		usage:   "diff [-c FILE] [-n NAME]",
		summary: "Compare the rule on the appliance with the configuration",
		help: `Prints what 'rule install' would change: a line with - is a rule of the appliance,
and a line with + is one of the configuration, each with its position. The exit
status is 0 if the rule is as configured, and otherwise 1. This command changes
nothing, and needs the right filter_read.

With --json: host, slot, active (whether the slot is the active one), diff (a list
of texts), changed (whether 'rule install' would change the policy).`,
		example: "  crowdsec-stormshield rule diff",
		bind:    o.bind,
		run:     func(ctx context.Context, _ []string, out output) error { return runRuleDiff(ctx, o, out) },
	}
}

// ruleChange is a change of the rules, as JSON.
type ruleChange struct {
	Host    string   `json:"host"`
	Slot    int      `json:"slot"`
	Active  bool     `json:"active"`
	Diff    []string `json:"diff"`
	Changed bool     `json:"changed"`
}

func newRuleChange(d config.Document, c *filter.Change) ruleChange {
	return ruleChange{d.Stormshield.Host, c.Policy.Slot, c.Policy.Active, append([]string{}, c.Diff()...), !c.IsEmpty()}
}

func runRuleDiff(ctx context.Context, o selection, out output) error {
	var change *filter.Change
	d, err := readRules(ctx, o, func(d config.Document, session *serverd.Session) (err error) {
		change, err = filter.Install(ctx, session, wantedRules(d))
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case o.json:
		err = out.printJSON(newRuleChange(d, change))
	case change.IsEmpty():
		_, err = fmt.Fprintf(out.stdout, "%s: the rule in %s is as configured\n", d.Stormshield.Host, slotName(change.Policy))
	default:
		printDiff(out.stdout, d, change)
	}
	if err == nil && !change.IsEmpty() {
		err = errors.New("the rule on the appliance is not as configured (hint: `rule install`)")
	}
	return err
}

// printDiff prints the difference between the activated rules and the wanted ones.
func printDiff(out io.Writer, d config.Document, change *filter.Change) {
	fmt.Fprintf(out, "%s: %s\n", d.Stormshield.Host, slotName(change.Policy))
	paint := painter(out)
	for _, line := range change.Diff() {
		colour := green
		if line[0] == '-' {
			colour = red
		}
		fmt.Fprintln(out, paint(colour, line))
	}
	switch {
	case len(change.Diff()) > 0:
	case change.Unloaded:
		fmt.Fprintln(out, "the activated rules are as wanted, but the running rules are not")
	default:
		fmt.Fprintln(out, "the activated rules are as wanted, but the edited policy is not")
	}
}
