package stormshield

import (
	"context"
	"fmt"

	"notification-stormshield/stormshield/serverd"
)

// OtherApplianceError says that the appliance has another serial number than the
// caller expects. It was replaced, or the other member of an HA pair answers. The
// members share an address, and each has a blacklist of its own [?].
type OtherApplianceError struct {
	Host            string
	Serial, Expects string
}

func (e *OtherApplianceError) Error() string {
	return fmt.Sprintf("another appliance answers at %s: its serial number is %s, and was %s", e.Host, e.Serial, e.Expects)
}

// identify asks for the serial number once a flush. It is no error if the appliance
// has none in its answer.
func (f *flush) identify(ctx context.Context, session *serverd.Session) error {
	if !f.change.AskSerial || f.asked {
		return nil
	}
	f.asked = true
	answer, err := session.Run(ctx, "SYSTEM PROPERTY")
	if err != nil {
		return nil //nolint:nilerr // a broken session fails at its next command
	}
	f.done.Serial = answer.Section("Result")["SerialNumber"]
	if f.change.Serial != "" && f.done.Serial != "" && f.done.Serial != f.change.Serial {
		return &OtherApplianceError{Host: f.config.API.Host, Serial: f.done.Serial, Expects: f.change.Serial}
	}
	return nil
}
