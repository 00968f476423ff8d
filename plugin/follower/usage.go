package follower

import (
	"context"
	"errors"
	"time"

	"notification-stormshield/lapi"
)

// usageEvery is how often CrowdSec gets usage metrics (go-cs-bouncer, defaultMetricsInterval).
const usageEvery = 15 * time.Minute

// sendUsage sends usage metrics to CrowdSec when they are due.
func (f *Follower) sendUsage(ctx context.Context, now time.Time) {
	if f.refusesUsage || now.Sub(f.usageSent) < usageEvery {
		return
	}
	f.usageSent = now
	usage := f.Usage
	usage.Window = usageEvery
	s, err := f.Ledger.Status(ctx, now)
	if err == nil {
		usage.LeftOut = s.Waiting.Total()
		usage.Active, err = f.Ledger.Origins(ctx, now)
	}
	if err == nil {
		err = f.LocalAPI.SendUsage(ctx, usage, now)
	}
	switch {
	case err == nil:
	case errors.Is(err, lapi.ErrNoMetrics):
		f.refusesUsage = true
		f.Log.Debug("the Local API accepts no usage metrics, which came with CrowdSec 1.6.3")
	default:
		f.Log.Warn("usage metrics could not be sent", "error", err)
	}
}
