package plugin

import (
	"context"

	"notification-stormshield/config"
	"notification-stormshield/plugin/health"
)

// OpenHealth opens the state of a configuration for reading its health, and returns the places that the health is read from. The caller
// closes the state. The configuration holds its secrets.
func OpenHealth(ctx context.Context, d config.Document) (from health.Source, closeState func(), _ error) {
	store, err := StateOf(d).OpenReadOnly(ctx)
	if err != nil {
		return health.Source{}, nil, err
	}
	return HealthSource(d, store), func() { _ = store.Close() }, nil
}
