// Package follower keeps a ledger in step with CrowdSec's Local API: it reads
// the decisions that no alert brings, and the end of those that are over before
// their time.
//
// It reads everything at first, after an outage, when what it read leaves a
// doubt or was of a bulk, and now and then; in between, what changed. It holds one
// batch of decisions at a time, ends nothing because the list could not be read,
// and knows no appliance. Its main type is [Follower]. Whoever runs it is the only
// one to read with that key: the Local API tells each change once.
package follower

import (
	"context"
	"errors"
	"fmt"
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
	// (QueryNewDecisionsSinceWithFilters, 1.7.8). But some are seen, or numbers are
	// missing; then everything is read at once, and again when the bulk is over, if
	// it went on or a number is still missing.
	bulk = 50
	// settleEvery is how often everything is read in the midst of a bulk that goes
	// on, such as a storm of alerts; for bulks that come and go, once there were
	// settleBurst; and for doubts.
	settleEvery = time.Minute
	settleBurst = 4
	// missingEvery is how often everything is read for less than a bulk. A number may
	// be missing for many reasons, such as a decision that a longer one hides.
	missingEvery = time.Hour
	// tellEvery is how often CrowdSec is told what is enforced: as its own
	// components do (go-cs-bouncer, defaultMetricsInterval).
	tellEvery = 15 * time.Minute
)

// List is where decisions are read; [lapi.Client] is one.
type List interface {
	Stream(ctx context.Context, q lapi.Query, do func(lapi.Event) error) (lapi.Seen, error)
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
	f.failures, f.whole = 0, r.doubtful > 0 && !r.full // a full reading has settled it
	if r.full {
		f.read, f.last, f.bulk, f.missing = now, r.seen.LastID, false, false
	} else {
		missing := r.seen.LastID - f.last - int64(r.seen.New)
		f.missing = f.missing || missing > 0
		f.bulk = f.bulk || f.running > 0 && missing > 0 // its end may be small
		if r.seen.New >= bulk || missing >= bulk {
			f.bulk, f.running = true, f.running+1
		} else {
			f.running = 0
		}
		f.last = max(f.last, r.seen.LastID)
	}
	r.say(f.Log)
	f.tell(ctx, now)
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

// reading is one run through an answer.
type reading struct {
	*Follower
	at   ledger.Reading
	full bool
	seen lapi.Seen

	listed   []ledger.Listed
	unlisted []ledger.Unlisted

	added, ended, left, refused, doubtful int
	firstRefused                          ban.Skip
	changed                               bool
}

func (f *Follower) reading(ctx context.Context) (*reading, error) {
	r := &reading{Follower: f, full: f.whole}
	var err error
	if r.at, err = f.Ledger.BeginRead(ctx, r.full, time.Now()); err != nil {
		return r, err
	}
	q := f.Query
	q.Startup = r.full
	r.seen, err = f.List.Stream(ctx, q, func(e lapi.Event) error { return r.take(ctx, e) })
	if failed := r.flush(ctx); err == nil { // what was read stands, whatever came after it
		err = failed
	}
	if err == nil {
		var ended ledger.Ended
		ended, err = f.Ledger.EndRead(ctx, r.at, r.seen.LastID, time.Now())
		r.took(ended)
	}
	if r.changed {
		f.Changed()
	}
	return r, err
}

// take takes one decision.
func (r *reading) take(ctx context.Context, e lapi.Event) error {
	now := time.Now()
	bans, skip, refused := r.Filter.Judge(ban.Listed{
		Origin: e.Origin, Scenario: e.Scenario, Scope: e.Scope, Type: e.Type, Value: e.Value, Left: e.Left,
	}, now)
	if refused && !e.Deleted {
		if r.refused++; r.refused == 1 {
			r.firstRefused = skip
		}
	}
	for _, b := range bans {
		switch {
		case e.Deleted:
			r.unlisted = append(r.unlisted, ledger.Unlisted{Prefix: b.Prefix, Number: e.ID, Since: now.Add(e.Left)})
		case b.Until.After(now):
			r.listed = append(r.listed, ledger.Listed{Ban: b, Number: e.ID})
		}
	}
	if len(r.listed) < batch && len(r.unlisted) < batch {
		return nil
	}
	return r.flush(ctx)
}

// flush gives the ledger what was taken, in its order: what is in force comes
// first in an answer.
func (r *reading) flush(ctx context.Context) error {
	if len(r.listed) > 0 {
		recorded, err := r.Ledger.List(ctx, r.at, r.listed, time.Now(), r.MaxBans)
		if err != nil {
			return err
		}
		r.changed = true
		r.added, r.left = r.added+recorded.Added, r.left+recorded.Left+recorded.Evicted
		r.listed = r.listed[:0]
	}
	if len(r.unlisted) > 0 {
		ended, err := r.Ledger.Unlist(ctx, r.at, r.unlisted, time.Now())
		if err != nil {
			return err
		}
		r.took(ended)
		r.unlisted = r.unlisted[:0]
	}
	return nil
}

func (r *reading) took(e ledger.Ended) {
	r.changed = r.changed || e.Bans > 0
	r.ended, r.doubtful = r.ended+e.Bans, r.doubtful+e.Doubtful
}

// say says what came of it, if there is something to say.
func (r *reading) say(log hclog.Logger) {
	if r.added+r.ended > 0 || r.full {
		log.Info("read the Local API", "added", r.added, "ended", r.ended, "full", r.full)
	} else {
		log.Debug("read the Local API: nothing changed")
	}
	if r.left > 0 {
		log.Warn("the list has more bans than max_bans allows: the soonest to end were left out", "left", r.left, "max_bans", r.MaxBans)
	}
	if r.refused > 0 {
		log.Warn("listed decisions were not turned into bans", "refused", r.refused, "first", r.firstRefused.Value, "reason", r.firstRefused.Reason)
	}
}
