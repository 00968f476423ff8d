// Package enforcer keeps one appliance in step with one ledger: it asks the
// ledger what differs, has the appliance told, and records what the appliance
// acknowledged. It does so only while it holds the lease.
//
// It knows neither how an appliance is reached nor where bans come from. Its
// main type is [Enforcer]; [Appliance] is what it needs of a firewall.
package enforcer

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/pacer"
)

const (
	// leaseEvery is how often a process that does not hold the lease tries to
	// take it, and newsEvery how often its holder looks for what other
	// processes recorded or asked for.
	leaseEvery = 500 * time.Millisecond
	newsEvery  = time.Second
)

// Config describes an enforcer.
type Config struct {
	Appliance   Appliance
	Ledger      *ledger.Ledger
	Target      ledger.Target // the appliance and the groups that the configuration names
	LeasePath   string
	NotBefore   time.Time // of the first flush
	Rhythm      pacer.Rhythm
	Reassert    time.Duration // how often everything in force is blocked again; 0: when half of EntryLife is over
	EntryLife   time.Duration // how long the entries live that a re-assert makes
	Few         int           // how many bans the appliance blocks one by one
	MaxBans     int
	Credentials string // a hold-off counts for these alone
	// Admit returns the parts of a prefix that may be blocked. The error is the
	// reason if there are none.
	Admit func(netip.Prefix) ([]netip.Prefix, error)
	Log   hclog.Logger
	// Shared returns which of some prefixes other configurations have in force on
	// the same appliance, and until when. Nil means that there is no other one.
	Shared func(ctx context.Context, some []netip.Prefix) (map[netip.Prefix]time.Time, error)
	// Beside runs while the lease is held, until its context ends; nil: nothing.
	Beside func(ctx context.Context)
}

// Enforcer is the loop for one appliance.
type Enforcer struct {
	Config
	pacer     *pacer.Pacer
	complaint complaint
	// identified is when this process last learnt the serial number of the appliance.
	identified time.Time
	round      round
}

// round is a re-assert. It takes several flushes if bans must be blocked one by
// one. Only Flush uses it, so it needs no lock.
type round struct {
	began      time.Time // zero: no re-assert is under way
	request    int64     // the last request when it began; a later request begins another round
	unfinished bool      // the last flush did not apply everything
}

// New returns an enforcer. Run makes it go.
func New(c Config) *Enforcer {
	return &Enforcer{Config: c, pacer: pacer.New(c.Rhythm), complaint: complaint{log: c.Log}}
}

// Recorded says that this process recorded something, and that more may follow.
// It never waits.
func (e *Enforcer) Recorded() { e.pacer.Poke() }

// Changed says that this process changed what must be blocked, and that nothing
// belongs to it which is yet to come. It never waits.
func (e *Enforcer) Changed() { e.pacer.Due() }

// Readmit ends the bans in force that Admit no longer admits, and triggers a flush
// that unblocks them.
func (e *Enforcer) Readmit(ctx context.Context) {
	if e.refuse(ctx) {
		e.pacer.Due()
	}
}

// Run enforces until the context ends. It waits for the lease for as long as
// another process holds it.
func (e *Enforcer) Run(ctx context.Context) {
	if !sleep(ctx, time.Until(e.NotBefore)) {
		return
	}
	lease := e.takeLease(ctx)
	if lease == nil {
		return
	}
	defer func() { _ = lease.Release() }()
	e.refuse(ctx)
	var beside sync.WaitGroup
	running, stop := context.WithCancel(ctx)
	beside.Go(func() { e.watch(running) })
	if e.Beside != nil {
		beside.Go(func() { e.Beside(running) })
	}
	e.pacer.Run(ctx, e.Flush)
	stop()
	beside.Wait()
}

func (e *Enforcer) takeLease(ctx context.Context) *ledger.Lease {
	waiting := false
	for {
		lease, err := ledger.TryLease(e.LeasePath)
		switch {
		case lease != nil:
			return lease
		case err != nil:
			e.complaint.about(err, hclog.Error, time.Now())
		case !waiting:
			waiting = true
			e.Log.Debug("another process flushes; this one records and stands by")
		}
		if !sleep(ctx, leaseEvery) {
			return nil
		}
	}
}

// refuse ends the bans in force that may not be blocked, and reports whether there
// were any. The parts of a range that may be blocked stay banned.
func (e *Enforcer) refuse(ctx context.Context) bool {
	refused, err := e.Ledger.Refuse(ctx, e.Admit, time.Now())
	if err != nil {
		e.complaint.about(err, hclog.Error, time.Now())
	}
	for _, r := range refused {
		if r.Reason == nil {
			e.Log.Warn("a banned range is split because a part of it is protected now", "prefix", r.Prefix, "parts", len(r.Parts))
			continue
		}
		e.Log.Warn("a ban ends because its address is protected now", "prefix", r.Prefix, "reason", r.Reason)
	}
	return len(refused) > 0
}

// watch pokes when another process recorded something, and hurries when one
// asked for a flush.
func (e *Enforcer) watch(ctx context.Context) {
	var seen ledger.News // at first, what others brought before this process counts as new
	for sleep(ctx, newsEvery) {
		news, err := e.Ledger.News(ctx)
		if err != nil {
			continue // the next flush says what is wrong with the ledger
		}
		if news.Request > seen.Request {
			e.pacer.Hurry()
		} else if news.Change > seen.Change && !news.Own {
			e.pacer.Poke()
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
