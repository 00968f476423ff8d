package stormshield

import (
	"sync"

	"notification-stormshield/appliance"
)

// permitAlways permits every step.
func permitAlways() error { return nil }

// permitOf returns a function that asks Change.Permit. After its first error the flush may do nothing more, also if Change.Permit would
// permit the next step.
func permitOf(change appliance.Change) func() error {
	if change.Permit == nil {
		return permitAlways
	}
	var mu sync.Mutex
	var denied error
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if denied != nil {
			return denied
		}
		if err := change.Permit(); err != nil {
			denied = &appliance.NotPermittedError{Err: err}
		}
		return denied
	}
}
