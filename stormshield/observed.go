package stormshield

import "notification-stormshield/appliance"

// Observed returns what this client saw of its appliance. It may run beside a flush.
func (a *Appliance) Observed() appliance.Observed { return appliance.Observed{} }
