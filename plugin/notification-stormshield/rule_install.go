package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"notification-stormshield/config"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/serverd"
)

// ruleChangeOptions are the options of rule install and rule remove.
type ruleChangeOptions struct {
	selection
	in              io.Reader // of the answer
	yes             bool
	activatePending bool
}

func (o *ruleChangeOptions) bind(flags *pflag.FlagSet) {
	o.in = os.Stdin
	o.selection.bind(flags)
	flags.BoolVar(&o.yes, "yes", false, "change the policy without a question")
	flags.BoolVar(&o.activatePending, "activate-pending", false, "also activate the edits of others that are not active yet")
}

const helpOfChange = `The command shows the change and asks. Then it takes the configuration right of
the appliance, but never from an administrator who holds this right. It edits the
policy, lets the appliance check it, reads it back and activates it. It changes no
other rule. If somebody changes the policy meanwhile, or if a step fails before
the policy is activated, the command takes its edit back and activates nothing.

To activate the policy also activates edits of administrators that are not active
yet. If there are any, this command changes nothing without --activate-pending.

The account needs the rights filter and modify.`

func ruleInstallCommand() command {
	var o ruleChangeOptions
	return command{
		usage:   "install [-c FILE] [-n NAME]",
		summary: "Install the rule, or update it",
		help: `Installs the rule that stormshield.rule in the configuration describes, or two
rules with direction: both. If the policy has the rule already, the command
updates it and leaves it where it is. The command never changes which slot is the
active one.

` + helpOfChange + `

If the appliance does not know the group yet, the command writes it to the
appliance's files over SSH. At the end it runs the commands of rule.activate, so
that the rule sees the members of the group.

With --json: host, slot, active (whether the slot is the active one), diff (a list
of texts, as rule diff prints them), changed.`,
		example: "  crowdsec-stormshield rule install\n  crowdsec-stormshield rule install --yes",
		bind:    o.bind,
		run:     func(ctx context.Context, _ []string, out output) error { return runRuleInstall(ctx, o, out) },
	}
}

func ruleRemoveCommand() command {
	var o ruleChangeOptions
	return command{
		usage:   "remove [-c FILE] [-n NAME]",
		summary: "Remove the rule",
		help: `Removes the rules of this configuration from the policy.

` + helpOfChange + `

With --json: host, slot, active (whether the slot is the active one), diff (a list
of texts, as rule diff prints them), changed.`,
		example: "  crowdsec-stormshield rule remove",
		bind:    o.bind,
		run:     func(ctx context.Context, _ []string, out output) error { return runRuleRemove(ctx, o, out) },
	}
}

func runRuleInstall(ctx context.Context, o ruleChangeOptions, out output) error {
	d, change, err := changeRules(ctx, o, filter.Install, "install the rule?", out)
	if err != nil || change == nil {
		return err
	}
	if !change.IsEmpty() && change.Policy.Active {
		activateMembers(ctx, d, out)
	}
	if !d.Stormshield.UsesRule() {
		out.warn("enforce is %s: the plugin does not keep the group %s up to date for a rule (hint: enforce: rule or both)",
			d.Stormshield.Enforce, d.Stormshield.Group)
	}
	if d.Stormshield.Rule.Action == "log" {
		out.warn("the rule only logs: it blocks nothing (rule.action is log)")
	}
	switch {
	case o.json:
		return out.printJSON(newRuleChange(d, change))
	case change.IsEmpty():
		_, err = fmt.Fprintf(out.stdout, "%s: nothing to do, the rule in %s is as configured\n", d.Stormshield.Host, slotName(change.Policy))
	case change.Policy.Active:
		_, err = fmt.Fprintf(out.stdout, "%s: the rule is installed and in force\n", d.Stormshield.Host)
	default:
		_, err = fmt.Fprintf(out.stdout, "%s: the rule is installed, and not in force, because slot %d is not the active one\n", d.Stormshield.Host, change.Policy.Slot)
	}
	return err
}

// activateMembers makes the new rule see the members of the group. If that fails, the plugin does it later.
func activateMembers(ctx context.Context, d config.Document, out output) {
	if !d.Stormshield.UsesSSH() || len(d.Stormshield.Rule.Activate) == 0 {
		return
	}
	holdOff, err := prepareLogin(&d)
	if err == nil {
		err = withFiles(ctx, d, holdOff, out, (*stormshield.Appliance).ActivateRule)
	}
	if err != nil {
		out.warn("the rule may lack members of the group until the plugin activates it: %v", err)
	}
}

func runRuleRemove(ctx context.Context, o ruleChangeOptions, out output) error {
	d, change, err := changeRules(ctx, o, filter.Remove, "remove the rule?", out)
	if err != nil || change == nil {
		return err
	}
	switch {
	case o.json:
		return out.printJSON(newRuleChange(d, change))
	case change.IsEmpty():
		_, err = fmt.Fprintf(out.stdout, "%s: nothing to do, %s has no rule of this configuration\n", d.Stormshield.Host, slotName(change.Policy))
	default:
		_, err = fmt.Fprintf(out.stdout, "%s: the rule is removed\n", d.Stormshield.Host)
	}
	return err
}

// planRules is [filter.Install] or [filter.Remove].
type planRules func(context.Context, filter.Session, filter.Wanted) (*filter.Change, error)

// changeRules plans a change, asks, and makes it. It returns no change if the answer is no. It has no session while it waits for the answer.
func changeRules(ctx context.Context, o ruleChangeOptions, plan planRules, question string, out output) (config.Document, *filter.Change, error) {
	d, err := o.load(config.Load)
	if err == nil && d.DryRun {
		err = errors.New("dry_run is set in the configuration: nothing would be sent")
	}
	if err != nil {
		return d, nil, err
	}
	using := d // the check also counts before enforce uses the rule
	using.Stormshield.Enforce = "rule"
	if err := checkFolder(out, o.file, using); err != nil {
		return d, nil, err
	}
	holdOff, err := prepareLogin(&d)
	if err != nil {
		return d, nil, err
	}
	var change *filter.Change
	err = withSession(ctx, d, holdOff, func(session *serverd.Session) (err error) {
		if change, err = plan(ctx, session, wantedRules(d)); err != nil || change.IsEmpty() {
			return err
		}
		return o.present(d, change, out)
	})
	if err != nil || change.IsEmpty() {
		return d, change, err
	}
	if !o.yes {
		if agreed, err := o.confirm(ctx, question, out); !agreed || err != nil {
			return d, nil, err
		}
	}
	apply := func(session *serverd.Session) error { return o.apply(ctx, session, change, out) }
	err = withSession(ctx, d, holdOff, apply)
	if errors.As(err, new(*filter.UnknownGroupError)) && d.Stormshield.UsesSSH() {
		if err = withFiles(ctx, d, holdOff, out, (*stormshield.Appliance).WriteGroups); err == nil {
			err = withSession(ctx, d, holdOff, apply) // a new session, because a session sees the files as they were when it was opened
		}
	}
	return d, change, err
}

// withFiles runs a step that logs in over SSH, and records a failed login.
func withFiles(ctx context.Context, d config.Document, holdOff loginHoldOff, out output, step func(*stormshield.Appliance, context.Context) error) error {
	progress := showProgress(out.stderr)
	defer progress.end()
	c := clientConfig(d)
	c.Progress = progress.show
	err := step(stormshield.New(c), ctx)
	if failed := holdOff.record(err); failed != nil {
		return failed
	}
	if err != nil {
		err = fmt.Errorf("the files of the appliance at %s: %w", d.Stormshield.Host, err)
	}
	return err
}

// mostEdits is how many edits of others an error lists.
const mostEdits = 10

// present prints a change. It returns an error if the change must not be made.
func (o ruleChangeOptions) present(d config.Document, change *filter.Change, out output) error {
	switch {
	case !o.json:
		printDiff(out.stdout, d, change)
	case !o.yes:
		printDiff(out.stderr, d, change)
	}
	inactive := change.InactiveEdits()
	if inactive == nil {
		return nil
	}
	for i, edit := range inactive.Edits {
		if i == mostEdits {
			fmt.Fprintf(out.stderr, "  … and %d more\n", len(inactive.Edits)-i)
			break
		}
		fmt.Fprintf(out.stderr, "  not active yet: %s\n", edit)
	}
	if !o.activatePending {
		return fmt.Errorf("%w; nothing was changed (hint: look at the policy in the web administration; --activate-pending activates them)", inactive)
	}
	out.warn("%v", inactive)
	return nil
}

func (o ruleChangeOptions) apply(ctx context.Context, session *serverd.Session, change *filter.Change, out output) error {
	progress := showProgress(out.stderr)
	defer progress.end()
	return change.Apply(ctx, session, filter.Options{
		ActivatePending: o.activatePending, Progress: progress.show, Warn: func(text string) { out.warn("%s", text) },
	})
}

// confirm asks a question to which only a typed yes means yes.
func (o ruleChangeOptions) confirm(ctx context.Context, question string, out output) (bool, error) {
	if !isTerminal(o.in) {
		return false, errors.New("nothing was changed, because there is no terminal to ask on (hint: a script gives --yes)")
	}
	fmt.Fprintf(out.stderr, "%s [y/N]: ", question)
	answer := make(chan string, 1)
	// Nothing interrupts a read from a terminal. After Ctrl-C it lasts until the process ends, which is at once.
	go func() {
		text, _ := bufio.NewReader(o.in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(text))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(out.stderr)
		return false, errors.New("interrupted; nothing was changed")
	case text := <-answer:
		if text != "y" && text != "yes" {
			fmt.Fprintln(out.stderr, "nothing was changed")
			return false, nil
		}
		return true, nil
	}
}
