package main

import (
	"context"
	"errors"
	"fmt"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ledger"
)

// elsewhere returns a text if the state of a configuration is about another
// appliance, otherwise "". Such a state says nothing about this appliance.
func elsewhere(ctx context.Context, d config.Document, books *ledger.Ledger) (problem string, err error) {
	target, err := books.Target(ctx)
	if err != nil || !target.IsElsewhere(plugin.TargetOf(d)) {
		return "", err
	}
	return fmt.Sprintf("the state %s belongs to the appliance at %s, not to the one at %s (hint: another file of the notifications folder has the same name, "+
		"or the host was changed and the plugin has not started with it yet: give each document a name of its own, then restart CrowdSec)",
		d.Name, target.Host, d.Stormshield.Address()), nil
}

// here returns an error if the state is about another appliance.
func here(ctx context.Context, d config.Document, books *ledger.Ledger) error {
	problem, err := elsewhere(ctx, d, books)
	if err == nil && problem != "" {
		err = errors.New(problem)
	}
	return err
}

// aboutHere returns the state of a configuration, and the groups that earlier
// configurations named. The state is nil if it is about another appliance.
func aboutHere(ctx context.Context, d config.Document, books *ledger.Ledger) (own *ledger.Ledger, oldGroups []string, err error) {
	if books == nil {
		return nil, nil, nil
	}
	target, err := books.Target(ctx)
	if err != nil || target.IsElsewhere(plugin.TargetOf(d)) {
		return nil, nil, err
	}
	next, _ := target.Next(plugin.TargetOf(d))
	return books, next.OldGroups, nil
}
