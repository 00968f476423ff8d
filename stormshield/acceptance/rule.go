package acceptance

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/serverd"
)

// ruleState is the state of the rows about the filter rule.
type ruleState struct {
	ruleChange *filter.Change // what rule install would change; nil: the policy cannot be read
	inForce    bool           // a rule in force names the group, as source and destination as configured

	slot      int           // its copy may have the test rule; 0: none
	original  []filter.Line // the copy before the test rule
	testLine  filter.Line   // the test rule, as the list prints it
	inGroup   bool          // the group of bans may list a test address
	activated []string      // commands that ran to activate it
}

const ruleInstallHint = "run `crowdsec-stormshield rule install`; `rule diff` shows what it changes"

// FilterRule compares the rule in force with the configuration.
func (c *checker) FilterRule(ctx context.Context) Finding {
	rule := c.config.Rule
	change, err := filter.Install(ctx, c.session, rule.Wanted)
	var use filter.Use
	if err == nil {
		use, err = filter.InForce(ctx, c.session, c.config.Group)
	}
	if err != nil {
		return c.unreadPolicy(err)
	}
	c.ruleChange = change
	var lacks []string
	if rule.AsSource && !use.AsSource {
		lacks = append(lacks, "source")
	}
	if rule.AsDestination && !use.AsDestination {
		lacks = append(lacks, "destination")
	}
	if c.inForce = len(lacks) == 0; c.inForce {
		return c.compareRule()
	}
	hint := ruleInstallHint
	if !change.Policy.Active {
		hint = fmt.Sprintf("rule.slot is %d, which is not the active slot: activate it on the appliance, or set rule.slot: 0", change.Policy.Slot)
	}
	return wrong(fmt.Errorf("no rule in force names the group %s as %s", c.config.Group, strings.Join(lacks, " or as ")), hint)
}

// compareRule compares the rules with the configuration, while a rule in force names the group.
func (c *checker) compareRule() Finding {
	policy, wanted := c.ruleChange.Policy, c.config.Rule.Wanted
	ours := filter.Of(policy.Activated, wanted.Name)
	switch {
	case !policy.Active:
		return differs(fmt.Sprintf("a rule of the active slot names the group, and rule.slot is %d, which is not the active one", policy.Slot),
			"set rule.slot: 0, so that this check compares the rule in force with the configuration")
	case c.ruleChange.IsEmpty():
		return holds(describeRules(policy.Slot, ours))
	case c.ruleChange.Unloaded:
		return wrong(errors.New("the appliance activated the rule, and MONITOR FILTER does not show it among the running ones"), ruleInstallHint)
	case len(ours) == 0:
		return holds("a rule that this program did not make names the group " + c.config.Group)
	case slices.ContainsFunc(ours, func(e filter.Line) bool { return e.Action != wanted.Action }):
		return wrong(fmt.Errorf("rule.action is %s, and the appliance has %s", wanted.Action, describeRules(policy.Slot, ours)), ruleInstallHint)
	case len(c.ruleChange.Diff()) == 0:
		return differs("the activated rule is as configured, and the edited policy is not", ruleInstallHint)
	}
	return differs(strings.Join(c.ruleChange.Diff(), "\n"), ruleInstallHint)
}

// unreadPolicy is the finding about a policy that cannot be read.
func (c *checker) unreadPolicy(err error) Finding {
	const unseen = "until then the plugin does not notice that no rule is in force"
	right := fmt.Sprintf("give the account %s the right filter_read", c.config.API.Account())
	switch {
	case serverd.IsForbidden(err) && c.config.Rule.Alone:
		return wrong(err, right+": without it each re-assert fails")
	case serverd.IsForbidden(err):
		return differs(err.Error(), right+"; "+unseen)
	case serverd.IsRefused(err):
		return differs(err.Error(), pasteReport+"; "+unseen)
	}
	if text, hint, found := strings.Cut(err.Error(), " (hint: "); found {
		return wrong(errors.New(text), strings.TrimSuffix(hint, ")"))
	}
	return wrong(err, c.commandHint(err, "filter_read"))
}

func describeRules(slot int, rules []filter.Line) string {
	lines := make([]string, len(rules))
	for i, e := range rules {
		lines[i] = fmt.Sprintf("slot %d, position %d: %s", slot, e.Position, e.Text)
	}
	return strings.Join(lines, "\n")
}

// policyVersions looks at edits that are not active yet. It does not print them, because the report is public.
func (c *checker) policyVersions(context.Context) Finding {
	switch inactive := c.ruleChange.InactiveEdits(); {
	case inactive == nil:
		return holds("it does; somebody else has no edits that are not active yet")
	case inactive.Edits == nil:
		return differs("the appliance refuses useclone, so the two versions look the same",
			"`rule install` and `rule remove` may also activate edits of an administrator, so they need --activate-pending")
	default:
		return holds(fmt.Sprintf("it does; slot %d has edits of somebody else that are not active yet (%d): `rule install` and `rule remove` need "+
			"--activate-pending", inactive.Slot, len(inactive.Edits)))
	}
}

// findUnusedRule adds a row if the blacklist alone enforces and the policy has our rule. It adds none if the account may not read the
// policy.
func (c *checker) findUnusedRule(ctx context.Context) {
	if c.session == nil || c.config.Rule.Wanted.Name == "" {
		return
	}
	policy, err := filter.Read(ctx, c.session, c.config.Rule.Wanted.Slot)
	if err != nil {
		return
	}
	if ours := filter.Of(policy.Activated, c.config.Rule.Wanted.Name); len(ours) > 0 {
		c.run(ctx, row{FilterRule, "with enforce: blacklist, the policy has no rule of this program", nil, func(*checker, context.Context) Finding {
			return differs(describeRules(policy.Slot, ours),
				"with enforce: blacklist the plugin does not activate the rule, so the rule sees new bans late: set enforce: rule or both, or run `crowdsec-stormshield rule remove`")
		}})
	}
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./-]+$`)

// activationCommands looks whether the programs exist. It does not run them.
func (c *checker) activationCommands(ctx context.Context) Finding {
	var has, lacks []string
	for _, command := range c.config.Rule.Activate {
		program := strings.Fields(command)[0]
		if !plainWord.MatchString(program) {
			return notTried("the command does not begin with the name of a program: " + command)
		}
		out, err := c.runShort(ctx, "command -v "+program+" || echo")
		switch path := strings.TrimSpace(strings.ToValidUTF8(string(out), "?")); {
		case err != nil:
			return wrong(err, c.scriptHint(err))
		case path == "":
			lacks = append(lacks, program)
		default:
			has = append(has, path)
		}
	}
	switch {
	case len(lacks) > 0:
		return wrong(fmt.Errorf("the appliance has no %s", strings.Join(lacks, ", ")),
			"a new ban does not reach the running rule: correct rule.activate")
	case len(has) == 0:
		return holds("rule.activate names no command")
	}
	return holds(strings.Join(has, ", "))
}
