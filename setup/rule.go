package setup

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// RuleChange is a change of the rules in the filter policy of an appliance.
type RuleChange struct {
	Slot    int
	Active  bool     // the slot is the active one
	Diff    []string // the rules to remove, with -, and to add, with +
	Changed bool
}

const aboutEnforcement = `
How the appliance enforces the bans:
  blacklist  It drops packets from banned addresses at once.
  rule       A filter rule acts on packets from or to banned addresses: it blocks,
             resets or only logs them. A new ban waits up to a minute.
  both       The blacklist and the rule.
A rule enforces nothing until it is in force in your filter policy. This program
can install the rule. It shows you the change first.
`

const aboutAction = `
What the rule does with a packet:
  block      The appliance drops it.
  reset      The appliance drops it and answers with a reset.
`

const aboutLog = `  log        The appliance only logs it: nothing is blocked.
`

// askForEnforcement asks what enforces the bans. A filter rule needs SSH.
func (s *setup) askForEnforcement(ctx context.Context) error {
	if s.NoSSH {
		return nil
	}
	d := &s.document.Stormshield
	s.explain("enforce", aboutEnforcement)
	err := s.answer(ctx, question{prompt: "Enforce the bans by blacklist, rule or both", flag: "enforce", usual: d.Enforce, key: "stormshield.enforce",
		set: func(a string) { d.Enforce = strings.ToLower(a) }}, s.Enforce)
	if err != nil {
		return err
	}
	if !d.UsesRule() {
		for _, flag := range []string{"rule-action", "rule-direction", "install-rule"} {
			if s.Given(flag) {
				return UsageError{fmt.Errorf("--%s needs --enforce rule or --enforce both", flag)}
			}
		}
		return nil
	}
	about, prompt := aboutAction+aboutLog, "Action of the rule: block, reset or log"
	if d.UsesBlacklist() {
		about, prompt = aboutAction, "Action of the rule: block or reset"
	}
	s.explain("rule-action", about)
	err = s.answer(ctx, question{prompt: prompt, flag: "rule-action", usual: d.Rule.Action, key: "stormshield.rule.action",
		set: func(a string) { d.Rule.Action = strings.ToLower(a) },
		check: func() error {
			if err := s.documentFault("stormshield.enforce"); err != nil { // both, and log
				return fmt.Errorf("enforce %w", err)
			}
			return nil
		}}, s.RuleAction)
	if err != nil {
		return err
	}
	return s.answer(ctx, question{prompt: "Packets from banned addresses (in), to them (out), or both", flag: "rule-direction", usual: d.Rule.Direction,
		key: "stormshield.rule.direction", set: func(a string) { d.Rule.Direction = strings.ToLower(a) }}, s.RuleDirection)
}

// explain prints a text before the question that a flag answers.
func (s *setup) explain(flag, text string) {
	if !s.Yes && !s.Given(flag) {
		fmt.Fprint(s.Out, text)
	}
}

// offerRule installs the filter rule, if the document uses one and the user agrees. --yes alone does not agree: a filter policy decides
// about all traffic.
func (s *setup) offerRule(ctx context.Context) error {
	if !s.document.Stormshield.UsesRule() {
		return nil
	}
	s.ruleStep = fmt.Sprintf("crowdsec-stormshield rule install%s    # first: without the rule, it enforces nothing", s.selection())
	if !s.InstallRule && (s.Yes || s.NoCheck) {
		return nil
	}
	fmt.Fprintf(s.Out, "\nReading the filter policy of %s ...\n", s.document.Stormshield.Host)
	change, err := s.RuleDiff(ctx, s.File, s.Name)
	if err == nil && change.Changed {
		if agreed, err := s.confirmRule(ctx, change); !agreed || err != nil {
			return err
		}
		change, err = s.RuleInstall(ctx, s.File, s.Name)
	}
	if err != nil {
		return errors.New("the filter rule is not installed, and the rest of the set-up stays (hint: correct the cause above, and run " +
			"`crowdsec-stormshield rule install" + s.selection() + "` before you reload CrowdSec)")
	}
	s.recordRule(change)
	return nil
}

// confirmRule shows a change, and reports whether the user agrees to it.
func (s *setup) confirmRule(ctx context.Context, c RuleChange) (bool, error) {
	fmt.Fprintf(s.Out, "\nIn slot %d, which is %s:\n\n", c.Slot, activity(c))
	for _, line := range c.Diff {
		fmt.Fprintln(s.Out, line)
	}
	if len(c.Diff) == 0 {
		fmt.Fprintln(s.Out, "The rule is there already. It must be activated again.")
	}
	if s.InstallRule {
		return true, nil
	}
	agreed, err := s.dialogue.confirm(ctx, "\nChange the filter policy like this?")
	if err != nil {
		err = fmt.Errorf("%w before an answer; the filter policy is unchanged, and %s is written (hint: a script gives --install-rule)", err, s.File)
	}
	return agreed, err
}

// recordRule prints whether the installed rule is in force, and records how to remove it.
func (s *setup) recordRule(c RuleChange) {
	fmt.Fprintf(s.Out, "\nThe filter rule is installed in slot %d, which is %s.\n", c.Slot, activity(c))
	if s.ruleStep = ""; !c.Active {
		s.ruleStep = fmt.Sprintf("# Make slot %d the active one on the appliance. Until then the rule enforces nothing.", c.Slot)
	}
	if c.Changed {
		s.done = append(s.done, change{command: "crowdsec-stormshield rule remove" + s.selection()})
	}
}

func activity(c RuleChange) string {
	if c.Active {
		return "the active one"
	}
	return "not the active one"
}
