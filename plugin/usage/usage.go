// Package usage reports to CrowdSec how many bans are enforced, for `cscli metrics show bouncers`. The main type is
// [Reporter].
//
// A report counts the bans in force by the origin of their decisions, and those that wait because of the limit. It counts no
// packets, because the appliance does not count the packets that it drops. The package reads the ledger, and changes nothing.
package usage

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/guard"
	"notification-stormshield/plugin/ledger"
)

const (
	// reportEvery is the time between two reports (go-cs-bouncer, defaultMetricsInterval).
	reportEvery = 15 * time.Minute
	// secondReportAfter is short, because the first report comes before the first full read of the Local API.
	secondReportAfter = time.Minute
)

// LocalAPI is the part of [lapi.Client] that a reporter needs.
type LocalAPI interface {
	SendUsage(ctx context.Context, u lapi.Usage, now time.Time) error
}

// Reporter reports to one Local API about one ledger.
type Reporter struct {
	LocalAPI LocalAPI
	Ledger   *ledger.Ledger
	Program  lapi.Usage // the reporter sets Window, Active and LeftOut
	Log      hclog.Logger

	reported map[string]int // the last report: bans by origin
}

// Run reports until the context ends, or the Local API turns out to accept no reports.
func (r *Reporter) Run(ctx context.Context) {
	for wait := secondReportAfter; ; wait = reportEvery {
		_, err := guard.Call("reporting usage metrics", func() (any, error) { return nil, r.report(ctx, time.Now()) })
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, lapi.ErrNoMetrics):
			r.Log.Debug("the Local API accepts no usage metrics, which came with CrowdSec 1.6.3")
			return
		case err != nil:
			r.Log.Warn("usage metrics could not be sent", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (r *Reporter) report(ctx context.Context, now time.Time) error {
	s, err := r.Ledger.Status(ctx, now)
	if err != nil {
		return err
	}
	active, err := r.Ledger.Origins(ctx, now)
	if err != nil {
		return err
	}
	for origin, bans := range r.reported {
		if bans > 0 {
			active[origin] += 0 // cscli shows the last number of an origin until there is another
		}
	}
	u := r.Program
	u.Window, u.LeftOut, u.Active = reportEvery, s.Waiting.Total(), active
	if err := r.LocalAPI.SendUsage(ctx, u, now); err != nil {
		return err
	}
	r.reported = active
	return nil
}
