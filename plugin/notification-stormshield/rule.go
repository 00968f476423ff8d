package main

import (
	"context"
	"errors"
	"fmt"

	"notification-stormshield/config"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/filter"
	"notification-stormshield/stormshield/serverd"
)

func ruleCommand() command {
	return command{
		usage:   "rule",
		summary: "Show, compare, install and remove the filter rule on the appliance",
		help: `The filter rule acts on packets from or to banned addresses. Use it with
enforce: rule or both in the configuration.

The commands find a rule of this configuration by its comment, which begins with
"crowdsec-stormshield NAME:". They change no other rule. Before you change
rule.name or rule.slot in the configuration, remove the rule.`,
		example: "  crowdsec-stormshield rule diff\n  crowdsec-stormshield rule install",
		run: func(context.Context, []string, output) error {
			return usageError{errors.New("name what to do with the rule: show, diff, install or remove")}
		},
		sub: []command{ruleShowCommand(), ruleDiffCommand(), ruleInstallCommand(), ruleRemoveCommand()},
	}
}

// wantedRules returns the rules that a configuration asks for.
func wantedRules(d config.Document) filter.Wanted {
	r := d.Stormshield.Rule
	return filter.Wanted{
		Name: r.Name, Group: d.Stormshield.Group, Action: r.Action, Log: r.Log, Direction: r.Direction, Slot: r.Slot, Position: r.Position,
	}
}

// withSession logs in to the API for as long as do runs. An error names the appliance.
func withSession(ctx context.Context, d config.Document, holdOff loginHoldOff, do func(*serverd.Session) error) error {
	api := clientConfig(d)
	session, err := stormshield.New(api).DialAPI(ctx)
	if failed := holdOff.record(err); failed != nil {
		return failed
	}
	if err == nil {
		defer func() { _ = session.Close(context.WithoutCancel(ctx)) }()
		err = do(session)
	}
	if serverd.IsForbidden(err) {
		err = fmt.Errorf("%w (hint: give the account %s the rights filter and modify)", err, api.API.Account())
	}
	if err != nil {
		err = fmt.Errorf("the filter rules of the appliance at %s: %w", d.Stormshield.Host, err)
	}
	return err
}

// slotName names a slot.
func slotName(p filter.Policy) string {
	if p.Active {
		return fmt.Sprintf("slot %d (active)", p.Slot)
	}
	return fmt.Sprintf("slot %d (not active)", p.Slot)
}
