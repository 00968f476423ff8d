package plugin

import (
	"context"
	"errors"

	"notification-stormshield/config"
	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/outbox"
)

// OpenHealth opens the state of a configuration for reading its health, and returns the places that the health is read from. The caller
// closes the state. The configuration holds its secrets. A shared state whose database cannot be used is no error: the source then has what
// this machine knows.
func OpenHealth(ctx context.Context, d config.Document) (from health.Source, closeState func(), err error) {
	state := StateOf(d)
	holdOff, end, err := OpenLoginHoldOff(d)
	if err != nil {
		return health.Source{}, nil, err
	}
	var box *outbox.Outbox
	if state.IsShared() {
		if box, err = outbox.OpenReadOnly(ctx, state.Path); err != nil {
			end()
			return health.Source{}, nil, withStateHint(err)
		}
	}
	store, why := state.OpenReadOnly(ctx)
	closeState = func() {
		end()
		if store != nil {
			_ = store.Close()
		}
		if box != nil {
			_ = box.Close()
		}
	}
	if why != nil && (box == nil || !errors.Is(why, ledger.ErrUnavailable)) {
		closeState()
		return health.Source{}, nil, why
	}
	return HealthSource(d, holdOff, store, box, why), closeState, nil
}
