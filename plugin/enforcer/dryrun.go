package enforcer

import (
	"context"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/appliance"
)

// DryRun returns an appliance that only logs a change. It acknowledges nothing, so everything is pending after the dry run.
func DryRun(log hclog.Logger) Appliance { return dryRun{log} }

type dryRun struct{ log hclog.Logger }

func (d dryRun) Apply(_ context.Context, c appliance.Change) (appliance.Outcome, error) {
	d.log.Info("dry run: nothing is sent", "added", max(len(c.Add), len(c.Block)), "removed", len(c.Unblock), "total", c.InForce)
	return appliance.Outcome{Mark: c.Mark}, nil // the files did not change
}
