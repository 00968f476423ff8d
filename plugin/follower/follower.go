// Package follower copies the decisions of CrowdSec's Local API into the ledger. The Local API has decisions that no alert
// brings, such as those of lists, and it reports the decisions that somebody deletes. The main type is [Follower].
//
// A Follower asks three kinds of questions:
//
//   - A poll asks what changed since the last poll. The Local API lists each decision once as new, and once as deleted.
//   - A question for higher IDs follows each poll. A poll misses a decision whose transaction has not ended yet, and no
//     later poll lists it. IDs grow, so the Follower finds it by asking for the decisions above an older ID.
//   - A full read asks for everything in force. The Follower does one at the start, after an outage, every ResyncEvery, and
//     a minute after a poll that may lack changes. CrowdSec 1.4.6 cannot select by ID. There the Follower also does a full
//     read every ten minutes, and a minute after unknown decisions.
//
// A decision that a full read lacks has vanished without a deletion. It ends only if a second full read lacks it too, and
// if the Local API also lacks a sample of such decisions when it is asked for each. While the Local API cannot be read, no
// ban ends early.
//
// The package knows no appliance, and holds one batch of decisions at a time. Each Follower needs its own key: the Local
// API reports each change once to each key.
package follower

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/guard"
	"notification-stormshield/plugin/ledger"
)

const (
	// firstPause and longestPause bound the growing pauses while the Local API cannot be read. No pause is shorter than PollEvery.
	firstPause   = 2 * time.Second
	longestPause = 30 * time.Second
	// fullReadWithoutIDs is how often a full read is due where the Local API cannot select by ID.
	fullReadWithoutIDs = 10 * time.Minute
)

// LocalAPI is the part of [lapi.Client] that a follower needs. Its methods are the contract.
type LocalAPI interface {
	Stream(ctx context.Context, q lapi.Query, do func(lapi.Event) error) (lapi.Summary, error)
	ReadAbove(ctx context.Context, q lapi.Query, id int64, do func(lapi.Event) error) (lapi.Summary, error)
	Lookup(ctx context.Context, q lapi.Query, prefix netip.Prefix) ([]lapi.Decision, error)
}

// Config describes a follower.
type Config struct {
	LocalAPI    LocalAPI
	Ledger      *ledger.Ledger
	Query       lapi.Query        // the follower sets Startup
	Filter      func() ban.Filter // returns the filter that decisions must pass now
	PollEvery   time.Duration
	ResyncEvery time.Duration // how often a full read is due in any case; 0: never
	MaxBans     int           // how many bans are enforced at most
	OnChange    func()        // called when a ban was added, was extended or has ended
	// OnRefused counts refused decisions. A decision counts when the Local API first lists it. Nil: nobody counts.
	OnRefused func(kind ban.Kind, n int)
	OnFailure func() // called when the Local API could not be read; nil: nobody counts
	Log       hclog.Logger
}

// Follower follows one Local API for one ledger.
type Follower struct {
	Config
	ids           idHistory
	streamBegan   time.Time // when the last stream began
	lastFullRead  time.Time // when the last full read began
	nextFullRead  time.Time // when an update made a full read due; zero: none did
	needsFullRead bool      // the next update is a full read
	failed        int       // updates in a row
	failures      *failures.Log
}

// New returns a follower. Run starts it.
func New(c Config) *Follower {
	return &Follower{Config: c, needsFullRead: true, failures: failures.NewLog(c.Log)}
}

// Run follows until the context ends.
func (f *Follower) Run(ctx context.Context) {
	for {
		start := time.Now()
		f.update(ctx, start)
		pause := max(f.PollEvery-time.Since(start), f.PollEvery/2) // after a slow answer, leave the Local API time for others
		if f.failed > 0 {
			pause = max(f.PollEvery, failures.Backoff(f.failed, firstPause, longestPause))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// update polls or does a full read, and records the outcome.
func (f *Follower) update(ctx context.Context, now time.Time) {
	if f.isFullReadDue(now) {
		f.needsFullRead = true
	}
	u := &update{Follower: f, filter: f.Filter()}
	_, err := guard.Call("reading the Local API", func() (any, error) {
		if f.needsFullRead {
			return nil, u.readAll(ctx, now)
		}
		return nil, u.poll(ctx, now)
	})
	if ctx.Err() != nil {
		return
	}
	u.report(err)
	if err != nil {
		f.recordFailure(ctx, err, now)
		return
	}
	f.failures.Succeeded("the Local API is read again")
	f.failed, f.needsFullRead = 0, false
	if err := f.Ledger.RecordRead(ctx, time.Now()); err != nil {
		f.Log.Debug("the read could not be recorded", "error", err)
	}
}

func (f *Follower) isFullReadDue(now time.Time) bool {
	since := now.Sub(f.lastFullRead)
	return f.ResyncEvery > 0 && since >= f.ResyncEvery ||
		f.ids.unsupported && since >= fullReadWithoutIDs ||
		!f.nextFullRead.IsZero() && !now.Before(f.nextFullRead)
}

// recordFailure logs and records a failed update. The next update is a full read.
func (f *Follower) recordFailure(ctx context.Context, err error, now time.Time) {
	f.needsFullRead = true
	f.failed++
	if f.OnFailure != nil {
		f.OnFailure()
	}
	hint := "see lapi in the notification's YAML; `check` tries it"
	if errors.Is(err, ledger.ErrUnavailable) {
		hint = "the Local API answers, and the state cannot be used: see the other errors"
	}
	f.failures.Failed(hclog.Error, "the Local API is not followed: known bans stay, new ones come from alerts alone, and none ends early",
		"error", err, "hint", hint)
	if failed := f.Ledger.RecordReadFailure(context.WithoutCancel(ctx), err.Error(), now); failed != nil {
		f.Log.Debug("the failure could not be recorded", "error", failed)
	}
}
