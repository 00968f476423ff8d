// Package enforcer applies the pending changes of one ledger to one appliance, and records what the appliance acknowledged.
//
// A flush goes through these steps:
//
//   - It does nothing during a login hold-off. A failed login begins one.
//   - It asks the ledger what is pending. If nothing is, and no re-assert is due, it ends without a connection.
//   - The appliance applies the change. If another appliance answers than before, everything becomes pending, and the flush
//     begins again.
//   - It records what the appliance acknowledged, also after an error. The rest stays pending, and the pacer decides when the
//     next flush tries it.
//
// A re-assert blocks everything in force again, in case the appliance lost it. The first flush of a ledger is one. It also
// takes over the prefixes that an earlier installation left in the group: they stay blocked for four hours.
//
// A flush logs in over SSH only if it needs the appliance's files: for many changes, for a range, and for a re-assert if the files
// differ from the bans in force or were not compared for Config.Compare. If the files cannot be written, flushes block and unblock
// addresses over the API until the next try.
//
// If a filter rule enforces (Target.ByRule), each change is written to the files, and the flush activates the rule at most once per
// Config.Activate. A requested flush activates it at once. If the rule alone enforces (Target.WithoutBlacklist), no ban gets an entry on
// the blacklist, and a re-assert asks whether a rule in force names the group.
//
// The package does not know how to reach an appliance, or where decisions come from. Its caller holds the lease. Its main
// type is [Enforcer]; [Appliance] is the interface of a firewall.
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

// watchEvery is how often the enforcer looks for changes and requests of other processes.
const watchEvery = time.Second

// Config describes an enforcer.
type Config struct {
	Appliance   Appliance
	Ledger      *ledger.Ledger
	Target      ledger.Target // the appliance and the groups that the configuration names
	Lockout     LoginHoldOff
	Rhythm      pacer.Rhythm
	Reassert    time.Duration // how often everything in force is blocked again; 0: every half EntryLife
	EntryLife   time.Duration // how long the entries of a re-assert last
	SingleMax   int           // how many bans the appliance blocks one by one, unless the flush leaves the files as they are
	MaxBans     int           // how many bans are enforced at most
	WithoutSSH  bool          // the configuration has no credentials for SSH, so no flush uses the files
	Compare     time.Duration // how long a re-assert relies on the last comparison of the files
	Activate    time.Duration // a filter rule is activated at most once in this time, unless a flush is requested
	Observing   bool          // the filter rule only logs
	Cut         bool          // cut the established connections of newly blocked addresses of class [ban.Local]
	Credentials string        // a login hold-off counts only for these
	// Filter returns the filter that decisions must pass.
	Filter func() ban.Filter
	Log    hclog.Logger
	// Shared returns which of some prefixes other configurations ban on the same appliance, and until when; nil: no other
	// configuration uses this appliance.
	Shared func(ctx context.Context, some []netip.Prefix) (map[netip.Prefix]time.Time, error)
	// Permit is called before each step of a flush at the appliance; see [appliance.Change]. nil: every step is permitted.
	Permit func() error
	// OnAttempt is called before a flush blocks prefixes that are pending. The flush logs its error, and goes on. It may run at the same time
	// as methods of Ledger. nil: nobody is called.
	OnAttempt func(ctx context.Context, prefixes []netip.Prefix) error
	// OnFlush is called at the end of each flush; nil: nobody is called.
	OnFlush func(Flushed)
	// OnBlocked is called after a flush that blocked new bans. It gets how long each of them waited; see [ledger.Ledger.RecordOutcome].
	// nil: nobody is called.
	OnBlocked func(waits []time.Duration)
}

// Flushed describes a flush that has ended.
type Flushed struct {
	Contacted bool // it had something to do at the appliance
	Took      time.Duration
	Err       error // a failure, or a warning (see IsWarning); nil: it ended well
}

// Enforcer is the loop for one appliance.
type Enforcer struct {
	Config
	pacer         *pacer.Pacer
	failures      *failures.Log
	filesRetry    filesRetry
	attempts      *failures.Log // failures of OnAttempt
	refused       refusedBans
	missingRule   missingRule
	contacted     bool      // the flush under way contacted the appliance
	loggedCut     bool      // a refusal to cut connections was logged
	serialReadAt  time.Time // when this process last read the serial number of the appliance
	round         round
	unrecorded    lockout.HoldOff // the last hold-off, if it could not be recorded
	loggedHoldOff time.Time       // the end of the hold-off that was logged last
	waiting       waiting
	reapply       atomic.Bool // the filter must be applied to the stored decisions
}

// round is one re-assert. It takes several flushes if bans must be blocked one by one. Only Flush uses it, so it needs no lock.
type round struct {
	began      time.Time // zero: no re-assert is under way
	request    int64     // the last request for a flush when it began; a later request begins another round
	unfinished bool      // the last flush applied a part, and the next one continues
}

// New returns an enforcer. Run starts it.
func New(c Config) *Enforcer {
	return &Enforcer{
		Config: c, pacer: pacer.New(c.Rhythm), failures: failures.NewLog(c.Log), attempts: failures.NewLog(c.Log),
		filesRetry: filesRetry{log: failures.NewLog(c.Log)},
	}
}

// Trigger asks for a flush because this process recorded decisions. More may follow, so the flush is debounced. Trigger
// never waits.
func (e *Enforcer) Trigger() { e.pacer.Trigger() }

// TriggerSince is like Trigger for decisions that came at an earlier time. The debounce counts from that time.
func (e *Enforcer) TriggerSince(came time.Time) { e.pacer.TriggerSince(came) }

// TriggerNow asks for a flush because this process changed the bans. Nothing more follows, so the flush is not
// debounced. TriggerNow never waits.
func (e *Enforcer) TriggerNow() { e.pacer.TriggerNow() }

// ReapplyFilter asks for the filter to be applied to the stored decisions, because it changed. ReapplyFilter never waits.
func (e *Enforcer) ReapplyFilter() { e.reapply.Store(true) }

// Run enforces until the context ends.
func (e *Enforcer) Run(ctx context.Context) {
	if e.Observing {
		e.Log.Warn("observing: the filter rule only logs (rule.action: log), and nothing is blocked")
	}
	e.applyFilter(ctx)
	var watching sync.WaitGroup
	running, stop := context.WithCancel(ctx)
	watching.Go(func() { e.watch(running) })
	e.pacer.Run(ctx, func(ctx context.Context) (pacer.Result, error) {
		result, err := e.Flush(ctx)
		if isFilesError(err) { // filesRetry is the rhythm of the files
			err = nil
		}
		return result, err
	})
	stop()
	watching.Wait()
}

// applyFilter applies the filter to the stored decisions, and reports whether it changed any.
func (e *Enforcer) applyFilter(ctx context.Context) bool {
	filter := e.Filter()
	changed, err := e.Ledger.ApplyFilter(ctx, filter.AdmitStored, time.Now(), e.MaxBans)
	if err != nil {
		e.reapply.Store(true)
		e.failures.Failed(hclog.Error, err.Error())
	}
	if len(changed) > 0 {
		e.Log.Warn("stored bans are now protected or filtered out: they end, or leave out the protected addresses",
			"bans", len(changed), "first", changed[0])
	}
	return len(changed) > 0
}

// watch triggers a flush when another process changed the bans or asked for a flush. It applies the filter when it changed.
func (e *Enforcer) watch(ctx context.Context) {
	var seen ledger.Changes // at the start, every change of other processes is new
	for sleep(ctx, watchEvery) {
		if e.reapply.Swap(false) && e.applyFilter(ctx) {
			e.pacer.TriggerNow()
		}
		changes, err := e.Ledger.Changes(ctx)
		if err != nil {
			continue // the next flush logs the error
		}
		if changes.Request > seen.Request {
			e.pacer.Force()
		} else if changes.Change > seen.Change && !changes.Own {
			e.pacer.Trigger()
		}
		seen = changes
	}
}

// sleep waits, and reports whether the context has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(max(d, 0)):
		return ctx.Err() == nil
	}
}
