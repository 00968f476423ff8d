// Package follower keeps a ledger in step with CrowdSec's Local API: it reads
// the decisions that no alert brings, and the end of those that are over before
// their time.
//
// It reads everything at first, after an outage, and now and then; in between,
// what changed. That is told by the time when each was made, and may leave out
// what was being stored just then: so it asks, by number, for what else is new.
// Where another decision than the one that is over may still ban, it asks too.
// It holds one batch of decisions at a time, ends nothing because the list could
// not be read, and knows no appliance. Its main type is [Follower]. Whoever runs
// it is the only one to read with that key: the Local API tells each change once.
package follower

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/time/rate"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

const (
	// batch is how many decisions go to the ledger at once.
	batch = 1000
	// longestPause bounds the growing pauses while the list cannot be read: it
	// is to be followed soon again after an outage.
	longestPause = 30 * time.Second
	// repeatEvery is how often the same trouble is said again.
	repeatEvery = 10 * time.Minute
	// bulk is how many new decisions, or missing numbers, make one. The Local API
	// stores a list in one transaction that takes seconds, or piece by piece, and
	// goes by when each was made, not by when they can be seen: whoever asks within
	// that time is never told of those that were made before
	// (QueryNewDecisionsSinceWithFilters, 1.7.8). But mostly some are seen, or numbers
	// are missing, or it took longUntilNoted: signs to ask at once for what has a
	// greater number than was known. Without one that is asked every numbersEvery.
	bulk           = 50
	longUntilNoted = 20 * time.Millisecond
	numbersEvery   = time.Minute
	// Where it cannot be asked for numbers, as CrowdSec 1.4.6, everything is read when
	// a bulk begins, and again when it is over, if it went on or a number is still
	// missing. Within settleEvery that is once in the midst of a bulk that goes on,
	// such as a storm of alerts; once there were settleBurst that came and went, once
	// for these; and once for doubts.
	settleEvery = time.Minute
	settleBurst = 4
	// missingEvery is how often everything is read because a number is missing. There
	// may be many reasons, such as a decision that was over soon.
	missingEvery = time.Hour
	// lookups is how many doubts are settled by a question each; more, by reading
	// everything. A question is not to be taken for a reading (lapi.Client.Lookup).
	lookups      = 20
	lookupWithin = 30 * time.Second
	// tellEvery is how often CrowdSec is told what is enforced: as its own
	// components do (go-cs-bouncer, defaultMetricsInterval).
	tellEvery = 15 * time.Minute
)

// List is where decisions are read; [lapi.Client] is one.
type List interface {
	Stream(ctx context.Context, q lapi.Query, do func(lapi.Event) error) (lapi.Seen, error)
	Newer(ctx context.Context, q lapi.Query, than int64, do func(lapi.Event) error) (lapi.Seen, error)
	Lookup(ctx context.Context, q lapi.Query, prefix netip.Prefix) ([]lapi.Decision, error)
	Tell(ctx context.Context, u lapi.Usage, now time.Time) error
}

// Config describes a follower.
type Config struct {
	List    List
	Ledger  *ledger.Ledger
	Query   lapi.Query // Startup is the follower's to set
	Filter  ban.Filter
	Every   time.Duration // how often to ask what changed
	Resync  time.Duration // how often to read everything; 0: when there is a reason
	MaxBans int
	Usage   lapi.Usage // Window and Active are the follower's to set
	Changed func()     // all that was read is in the ledger, and something is to be enforced, or not any more
	Log     hclog.Logger
}

// Follower follows one Local API for one ledger.
type Follower struct {
	Config
	whole    bool          // the next reading is of everything
	read     time.Time     // when everything was last read
	last     int64         // the greatest number of a decision seen
	number   int64         // up to which numbers were asked for
	asked    time.Time     // when they were
	timeOnly bool          // the Local API cannot be asked for numbers
	bulk     bool          // of which some may not have been seen
	running  int           // how many readings of changes in a row were of a bulk
	missing  bool          // a number between those that were seen
	bulks    *rate.Limiter // how often everything is read at once for a bulk
	doubts   *rate.Limiter // and for a doubt
	failures int
	said     time.Time // when the trouble was last said
	told     time.Time // when CrowdSec was last told
	mute     bool      // it takes no usage metrics
}

// New returns a follower. Run makes it go.
func New(c Config) *Follower {
	return &Follower{
		Config: c, whole: true,
		bulks:  rate.NewLimiter(rate.Every(settleEvery), settleBurst),
		doubts: rate.NewLimiter(rate.Every(settleEvery), 1),
	}
}

// Run follows until the context ends.
func (f *Follower) Run(ctx context.Context) {
	for {
		start := time.Now()
		f.step(ctx, start)
		pause := max(f.Every-time.Since(start), f.Every/2) // the Local API rests at least as long as that
		if f.failures > 0 {
			pause = max(f.Every, min(time.Second<<min(f.failures, 16), longestPause))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// step reads once, and everything at once if that is due.
func (f *Follower) step(ctx context.Context, now time.Time) {
	f.once(ctx, now)
	if ctx.Err() == nil && f.failures == 0 && f.due(now) {
		f.whole = true
		f.once(ctx, now)
	}
}

// due reports whether everything is to be read at once: when a bulk begins or is
// over, or with a doubt.
func (f *Follower) due(now time.Time) bool {
	if f.bulk {
		midst := f.running > 1 && now.Sub(f.read) < settleEvery
		return !midst && f.bulks.AllowN(now, 1)
	}
	return f.whole && f.doubts.AllowN(now, 1)
}

func (f *Follower) once(ctx context.Context, now time.Time) {
	since := now.Sub(f.read)
	if f.Resync > 0 && since >= f.Resync || f.missing && since >= missingEvery || f.room(ctx, now) {
		f.whole = true
	}
	r, err := f.guarded(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		f.failed(ctx, err, now)
		return
	}
	if f.failures > 0 {
		f.Log.Info("the Local API is read again", "failures", f.failures)
	}
	f.failures, f.whole = 0, len(r.doubtful) > 0 && !r.full // a full reading has settled it
	f.note(r, now)
	r.say(f.Log)
	f.tell(ctx, now)
}

// note takes note of what a reading that went well leaves open.
func (f *Follower) note(r *reading, now time.Time) {
	switch {
	case r.full:
		f.read, f.asked, f.last, f.number = now, now, r.seen.LastID, r.seen.LastID
		f.bulk, f.missing = false, false
	case r.numbered:
		f.missing = f.missing || r.newer.LastID-f.number > int64(r.newer.New)
		f.last = max(f.last, r.seen.LastID, r.newer.LastID)
		f.asked, f.number, f.bulk = now, f.last, false
	default:
		f.missing = f.missing || f.timeOnly && r.missing > 0
		f.bulk = f.bulk || r.ofBulk()
		f.last = max(f.last, r.seen.LastID)
	}
	switch {
	case r.full:
	case r.bulky:
		f.running++
	default:
		f.running = 0
	}
}

// guarded reads, and survives a panic: CrowdSec never starts a crashed plugin
// again.
func (f *Follower) guarded(ctx context.Context) (r *reading, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading the Local API panicked, which is a fault of this program: %v\n%s", p, debug.Stack())
		}
	}()
	return f.reading(ctx)
}

// room reports whether a full reading would take in a good part of what was left
// out because bans were too many.
func (f *Follower) room(ctx context.Context, now time.Time) bool {
	left, room, err := f.Ledger.LeftOut(ctx, now, f.MaxBans)
	return err == nil && left > 0 && room >= min(left, max(f.MaxBans/20, 1))
}

// failed takes note of a reading that failed: the next one reads everything.
func (f *Follower) failed(ctx context.Context, err error, now time.Time) {
	f.whole = true
	f.failures++
	if f.failures == 1 || now.Sub(f.said) >= repeatEvery {
		f.said = now
		f.Log.Error("the Local API cannot be read: bans of alerts are enforced, and nothing ends that may still be listed",
			"error", err, "failures", f.failures, "hint", "see lapi in the notification's YAML; `check` tries it")
	}
	if failed := f.Ledger.ReadFailed(context.WithoutCancel(ctx), err.Error(), now); failed != nil {
		f.Log.Debug("the failure could not be recorded", "error", failed)
	}
}

// tell tells CrowdSec what is enforced.
func (f *Follower) tell(ctx context.Context, now time.Time) {
	if f.mute || now.Sub(f.told) < tellEvery {
		return
	}
	f.told = now
	err := f.tellAll(ctx, now)
	switch {
	case err == nil:
	case errors.Is(err, lapi.ErrNoMetrics):
		f.mute = true
		f.Log.Debug("the Local API takes no usage metrics, which came with CrowdSec 1.6.3")
	default:
		f.Log.Warn("usage metrics could not be sent", "error", err)
	}
}

func (f *Follower) tellAll(ctx context.Context, now time.Time) (err error) {
	usage := f.Usage
	usage.Window = tellEvery
	if usage.Active, err = f.Ledger.Origins(ctx, now); err != nil {
		return err
	}
	if usage.LeftOut, _, err = f.Ledger.LeftOut(ctx, now, f.MaxBans); err != nil {
		return err
	}
	return f.List.Tell(ctx, usage, now)
}
