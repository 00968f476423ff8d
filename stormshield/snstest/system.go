package snstest

import "cmp"

// What the appliance says of itself; the version is the one whose answers were captured.
const (
	model   = "EVA2"
	version = "4.8.15"
)

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// systemProperty is SYSTEM PROPERTY.
func (c *call) systemProperty() answer {
	options := c.appliance.options
	result := []keyValue{
		{"Type", "Firewall"},
		{"Model", model},
		{"MachineType", "amd64"},
		{"Version", version},
	}
	if !c.faults.NoSerialNumber {
		result = append(result, keyValue{"SerialNumber", cmp.Or(c.faults.SerialNumber, options.SerialNumber)})
	}
	return sectionAnswer("Result", append(result, keyValue{"HighAvail", flag(options.HighAvailability)})...)
}
