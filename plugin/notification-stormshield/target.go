package main

import (
	"context"
	"errors"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

// targetProblem returns a text if a state belongs to another appliance than the configuration names, and otherwise "".
func targetProblem(ctx context.Context, d config.Document, state *ledger.Ledger) (string, error) {
	return health.Source{Document: d, Ledger: state, Target: plugin.TargetOf(d)}.TargetProblem(ctx)
}

// checkTarget returns an error if the state belongs to another appliance.
func checkTarget(ctx context.Context, d config.Document, state *ledger.Ledger) error {
	problem, err := targetProblem(ctx, d, state)
	if err == nil && problem != "" {
		err = errors.New(problem)
	}
	return err
}

// stateOfTarget returns nil instead of a state that belongs to another appliance. It also returns the groups of earlier
// configurations that are still on the appliance.
func stateOfTarget(ctx context.Context, d config.Document, state *ledger.Ledger) (own *ledger.Ledger, oldGroups []string, err error) {
	if state == nil {
		return nil, nil, nil
	}
	target, err := state.Target(ctx)
	if err != nil || target.IsElsewhere(plugin.TargetOf(d)) {
		return nil, nil, err
	}
	next, _ := target.Next(plugin.TargetOf(d))
	return state, next.OldGroups, nil
}
