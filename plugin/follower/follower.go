// Package follower keeps a ledger in step with CrowdSec's Local API. The Local API has the decisions that no alert brings,
// such as those of lists, and it knows which decisions ended before their time.
//
// The follower polls: it asks what changed since the last poll. The Local API lists each decision once as new, and once as
// deleted. Polls alone miss some changes, so the follower asks further questions:
//
//   - A poll misses a decision that a transaction was storing at that moment. So after each poll the follower also asks for
//     the decisions above an ID. If polls have listed every ID, this is the highest one. Otherwise it is the highest one
//     before that poll, and once a minute that of five minutes ago. CrowdSec 1.4.6 cannot select by ID. There the follower
//     reads everything a minute after unknown decisions, and every ten minutes.
//   - CrowdSec deletes many decisions in steps, and a poll between two steps may miss the later ones. A deletion cannot be
//     matched to a stored decision that has neither UUID nor ID. In both cases the follower reads everything a minute later.
//   - A database that was made anew counts its IDs from 1 again. So the follower reads everything a minute after a poll that
//     lists an unknown decision with an ID below the highest one.
//   - A decision may vanish without a deletion. So the follower reads everything at the start, after an outage, and every
//     ResyncEvery. This is a full read.
//
// A decision that a full read lacks ends only if a second full read lacks it too, and if the Local API says the same about a
// sample of such decisions. A Local API that cannot be read ends no ban.
//
// The package knows no appliance, and holds one batch of decisions at a time. Its main type is [Follower]. Each Follower
// needs a key of its own, because the Local API reports each change once to each key.
package follower

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/guard"
	"notification-stormshield/plugin/ledger"
)

const (
	// batch is how many decisions go to the ledger at once.
	batch = 1000
	// longestPause bounds the growing pauses while the Local API cannot be read.
	longestPause = 30 * time.Second
	// repeatEvery is how often the same trouble is logged again.
	repeatEvery = 10 * time.Minute
	// idsEvery is how often the follower asks for the decisions above an old ID, and idsBack is how old that ID is. The next
	// full read finds the decisions of a transaction that took longer.
	idsEvery = time.Minute
	idsBack  = 5 * time.Minute
	// fullWithoutIDs is how often everything is read where the Local API cannot select by ID (CrowdSec 1.4.6).
	fullWithoutIDs = 10 * time.Minute
	// confirmAfter is how long after a full read that lacks decisions the second full read begins. It is also how long after
	// a poll that may have missed some everything is read.
	confirmAfter = time.Minute
	// askWithin is how long after the start of a stream other questions are asked.
	askWithin = 50 * time.Second
	// deletedAtOnce is how many decisions CrowdSec deletes at once (decisionDeleteBulkSize of CrowdSec 1.7.8).
	deletedAtOnce = 256
	// tellEvery is how often CrowdSec gets usage metrics (go-cs-bouncer, defaultMetricsInterval).
	tellEvery = 15 * time.Minute
)

// LocalAPI is what a follower needs of the Local API. [lapi.Client] is one, and its methods are the contract.
type LocalAPI interface {
	Stream(ctx context.Context, q lapi.Query, do func(lapi.Event) error) (lapi.Summary, error)
	ReadAbove(ctx context.Context, q lapi.Query, id int64, do func(lapi.Event) error) (lapi.Summary, error)
	Lookup(ctx context.Context, q lapi.Query, prefix netip.Prefix) ([]lapi.Decision, error)
	SendUsage(ctx context.Context, u lapi.Usage, now time.Time) error
}

// Config describes a follower.
type Config struct {
	LocalAPI    LocalAPI
	Ledger      *ledger.Ledger
	Query       lapi.Query        // the follower sets Startup
	Filter      func() ban.Filter // returns the filter that decisions must pass now
	PollEvery   time.Duration     // how often to poll
	ResyncEvery time.Duration     // how often to read everything; 0: only at the start, after a failure, and when a poll may have missed something
	MaxBans     int               // how many bans are enforced at most
	Usage       lapi.Usage        // the follower sets Window, Active and LeftOut
	OnChange    func()            // called when a ban was added, was extended or has ended
	Log         hclog.Logger
}

// Follower follows one Local API for one ledger.
type Follower struct {
	Config
	full     bool      // the next read is a full read
	fullAt   time.Time // when the last full read began
	confirm  time.Time // when the next full read is due because of what a read found; zero: none is
	ids      idHistory
	failures int
	logged   time.Time // when the trouble was last logged
	streamed time.Time // when the last stream began
	told     time.Time // when the last usage metrics were sent
	mute     bool      // the Local API takes no usage metrics
}

// New returns a follower. Run starts it.
func New(c Config) *Follower { return &Follower{Config: c, full: true} }

// Run follows until the context ends.
func (f *Follower) Run(ctx context.Context) {
	for {
		start := time.Now()
		f.step(ctx, start)
		pause := max(f.PollEvery-time.Since(start), f.PollEvery/2) // after a slow answer, leave the Local API time for others
		if f.failures > 0 {
			pause = max(f.PollEvery, min(time.Second<<min(f.failures, 16), longestPause))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// step reads once, and records how that went.
func (f *Follower) step(ctx context.Context, now time.Time) {
	if f.isFullDue(now) {
		f.full = true
	}
	r := &reading{Follower: f, filter: f.Filter()}
	_, err := guard.Call("reading the Local API", func() (any, error) { return nil, f.read(ctx, r, now) })
	if ctx.Err() != nil {
		return
	}
	r.finish(err)
	if err != nil {
		f.failed(ctx, err, now)
		return
	}
	if f.failures > 0 {
		f.Log.Info("the Local API is read again", "failures", f.failures)
	}
	f.failures, f.full = 0, false
	if err := f.Ledger.RecordRead(ctx, time.Now()); err != nil {
		f.Log.Debug("the read could not be recorded", "error", err)
	}
	f.tell(ctx, now)
}

func (f *Follower) isFullDue(now time.Time) bool {
	since := now.Sub(f.fullAt)
	return f.ResyncEvery > 0 && since >= f.ResyncEvery ||
		f.ids.unsupported && since >= fullWithoutIDs ||
		!f.confirm.IsZero() && !now.Before(f.confirm)
}

// read polls, or reads everything.
func (f *Follower) read(ctx context.Context, r *reading, now time.Time) error {
	if f.full {
		return r.everything(ctx, now)
	}
	return r.changes(ctx, now)
}

// failed logs and records a read that failed. The next read is a full read.
func (f *Follower) failed(ctx context.Context, err error, now time.Time) {
	f.full = true
	f.failures++
	if f.failures == 1 || now.Sub(f.logged) >= repeatEvery {
		f.logged = now
		f.Log.Error("the Local API is not followed: known bans stay, new ones come from alerts alone, and none ends early",
			"error", err, "failures", f.failures, "hint", "see lapi in the notification's YAML; `check` tries it")
	}
	if failed := f.Ledger.RecordReadFailure(context.WithoutCancel(ctx), err.Error(), now); failed != nil {
		f.Log.Debug("the failure could not be recorded", "error", failed)
	}
}

// tell sends usage metrics to CrowdSec, if that is due.
func (f *Follower) tell(ctx context.Context, now time.Time) {
	if f.mute || now.Sub(f.told) < tellEvery {
		return
	}
	f.told = now
	usage := f.Usage
	usage.Window = tellEvery
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
		f.mute = true
		f.Log.Debug("the Local API takes no usage metrics, which came with CrowdSec 1.6.3")
	default:
		f.Log.Warn("usage metrics could not be sent", "error", err)
	}
}
