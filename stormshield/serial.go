package stormshield

import (
	"context"
	"fmt"

	"notification-stormshield/stormshield/serverd"
)

// OtherApplianceError says that an appliance with another serial number answers
// than the caller expects. It is a replaced one, or the other member of an HA
// pair: both have the address, and the blacklist of each is its own [?].
type OtherApplianceError struct {
	Host            string
	Serial, Expects string
}

func (e *OtherApplianceError) Error() string {
	return fmt.Sprintf("another appliance answers at %s: its serial number is %s, and was %s", e.Host, e.Serial, e.Expects)
}

// identify asks for the serial number, once a flush. An appliance that does not
// tell it is no fault.
func (f *flush) identify(ctx context.Context, session *serverd.Session) error {
	if !f.change.AskSerial || f.asked {
		return nil
	}
	f.asked = true
	answer, err := session.Run(ctx, "SYSTEM PROPERTY")
	if err != nil {
		return nil //nolint:nilerr // a session that is broken fails at its next command
	}
	f.done.Serial = answer.Section("Result")["SerialNumber"]
	if f.change.Serial != "" && f.done.Serial != "" && f.done.Serial != f.change.Serial {
		return &OtherApplianceError{Host: f.config.API.Host, Serial: f.done.Serial, Expects: f.change.Serial}
	}
	return nil
}
