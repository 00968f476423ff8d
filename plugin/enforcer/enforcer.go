// Package enforcer keeps one appliance in step with one ledger: it asks the ledger what is pending, sends it to the
// appliance, and records what the appliance acknowledged.
//
// A flush goes through these steps:
//
//   - It does nothing while logins are held off. A login that the appliance does not accept begins a hold-off.
//   - It asks the ledger what is pending. If nothing is, and no re-assert is due, it ends without a connection.
//   - The appliance applies the change. If another appliance answers than before, everything is pending on it, and the flush
//     begins again.
//   - It records what the appliance acknowledged, also after an error. The rest stays pending, and the pacer says when the
//     next flush tries it.
//
// A re-assert blocks everything in force again, in case the appliance lost it. The first flush of a ledger is one. It also
// takes over what an earlier installation left in the group: such a prefix stays blocked for four hours.
//
// The package knows neither how an appliance is reached nor where decisions come from. Its caller holds the lease. Its main
// type is [Enforcer]; [Appliance] is what it needs of a firewall.
package enforcer

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/lockout"
	"notification-stormshield/plugin/pacer"
)

// newsEvery is how often the enforcer looks for what other processes recorded or asked for.
const newsEvery = time.Second

// Config describes an enforcer.
type Config struct {
	Appliance   Appliance
	Ledger      *ledger.Ledger
	Target      ledger.Target // the appliance and the groups that the configuration names
	Lockout     lockout.File
	Rhythm      pacer.Rhythm
	Reassert    time.Duration // how often everything in force is blocked again; 0: when half of EntryLife is over
	EntryLife   time.Duration // how long the entries live that a re-assert makes
	SingleMax   int           // how many bans the appliance blocks one by one
	MaxBans     int           // how many bans are enforced at most
	Credentials string        // a login hold-off counts for these alone
	// Filter returns the filter that decisions must pass now.
	Filter func() ban.Filter
	Log    hclog.Logger
	// Shared returns which of some prefixes other configurations ban on the same appliance, and until when; nil: there is no
	// other configuration.
	Shared func(ctx context.Context, some []netip.Prefix) (map[netip.Prefix]time.Time, error)
}

// Enforcer is the loop for one appliance.
type Enforcer struct {
	Config
	pacer    *pacer.Pacer
	failures *failures.Log
	// identified is when this process last learnt the serial number of the appliance.
	identified    time.Time
	round         round
	unrecorded    lockout.HoldOff // the last hold-off, if it could not be recorded
	loggedHoldOff time.Time       // the end of the hold-off that was logged last
	waiting       waiting
	readmit       atomic.Bool // the filter changed
}

// round is a re-assert. It takes several flushes if bans must be blocked one by one. Only Flush uses it, so it needs no
// lock.
type round struct {
	began      time.Time // zero: no re-assert is under way
	request    int64     // the last request when it began; a later request begins another round
	unfinished bool      // the last flush did not apply everything
}

// New returns an enforcer. Run starts it.
func New(c Config) *Enforcer {
	return &Enforcer{Config: c, pacer: pacer.New(c.Rhythm), failures: failures.NewLog(c.Log)}
}

// Trigger asks for a flush because this process recorded decisions. More may follow, so the flush is debounced. Trigger
// never waits.
func (e *Enforcer) Trigger() { e.pacer.Trigger() }

// TriggerNow asks for a flush because this process changed what must be blocked. Nothing more follows, so the flush is not
// debounced. TriggerNow never waits.
func (e *Enforcer) TriggerNow() { e.pacer.TriggerNow() }

// ReapplyFilter asks for the filter to be applied to the stored decisions, because it changed. ReapplyFilter never waits.
func (e *Enforcer) ReapplyFilter() { e.readmit.Store(true) }

// Run enforces until the context ends.
func (e *Enforcer) Run(ctx context.Context) {
	e.admit(ctx)
	var watching sync.WaitGroup
	running, stop := context.WithCancel(ctx)
	watching.Go(func() { e.watch(running) })
	e.pacer.Run(ctx, e.Flush)
	stop()
	watching.Wait()
}

// admit applies the filter to the decisions that are stored, and reports whether it changed any.
func (e *Enforcer) admit(ctx context.Context) bool {
	filter := e.Filter()
	changed, err := e.Ledger.ApplyFilter(ctx, filter.AdmitStored, time.Now(), e.MaxBans)
	if err != nil {
		e.readmit.Store(true)
		e.failures.Failed(hclog.Error, err.Error())
	}
	if len(changed) > 0 {
		e.Log.Warn("bans are protected or filtered out by now: they end, or are split around what is never blocked",
			"bans", len(changed), "first", changed[0])
	}
	return len(changed) > 0
}

// watch triggers a flush when another process recorded something, or asked for a flush. It applies the filter to the stored
// decisions when it changed.
func (e *Enforcer) watch(ctx context.Context) {
	var seen ledger.Changes // at first, everything that others recorded counts as new
	for sleep(ctx, newsEvery) {
		if e.readmit.Swap(false) && e.admit(ctx) {
			e.pacer.TriggerNow()
		}
		news, err := e.Ledger.Changes(ctx)
		if err != nil {
			continue // the next flush says what is wrong with the ledger
		}
		if news.Request > seen.Request {
			e.pacer.Force()
		} else if news.Change > seen.Change && !news.Own {
			e.pacer.Trigger()
		}
		seen = news
	}
}

// sleep waits and reports whether the context still stands.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(max(d, 0)):
		return ctx.Err() == nil
	}
}
