package stormshield

import (
	"context"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/serverd"
)

// identify asks for the serial number, once in a flush. An answer without one is no error.
func (f *flush) identify(ctx context.Context, session *serverd.Session) error {
	if !f.change.AskSerial || f.askedSerial {
		return nil
	}
	f.askedSerial = true
	properties, err := f.Properties(ctx, session)
	if err != nil {
		return nil //nolint:nilerr // a broken session fails at its next command
	}
	f.done.Serial = properties["SerialNumber"]
	if f.change.Serial != "" && f.done.Serial != "" && f.done.Serial != f.change.Serial {
		return &appliance.OtherApplianceError{Host: f.config.API.Host, Serial: f.done.Serial, Expected: f.change.Serial}
	}
	return nil
}
