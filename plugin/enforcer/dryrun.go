package enforcer

import (
	"context"
	"net/netip"

	"github.com/hashicorp/go-hclog"
)

// DryRun returns an appliance that says what it would do and does nothing. It
// acknowledges nothing, so that everything is still owed when the dry run is
// over.
func DryRun(log hclog.Logger) Appliance { return dryRun{log} }

type dryRun struct{ log hclog.Logger }

func (d dryRun) Apply(_ context.Context, c Change) (Done, error) {
	d.log.Info("dry run: nothing is sent", "added", len(c.Block), "removed", len(c.Unblock), "total", len(c.Standing))
	return Done{}, nil
}

func (dryRun) Blocked(context.Context) ([]netip.Prefix, error) { return nil, nil }
