package follower

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

// reading is one run through an answer.
type reading struct {
	*Follower
	at       ledger.Reading
	full     bool
	seen     lapi.Seen
	missing  int64     // how many numbers are missing between those that were seen and those that are new
	bulky    bool      // what is new, or missing, is as many as a bulk
	numbered bool      // it was asked for numbers,
	newer    lapi.Seen // and this was seen
	longer   bool      // what is taken counts only where it ends later than is known

	listed   []ledger.Listed
	unlisted []ledger.Unlisted
	doubtful []ledger.Unlisted // of as many prefixes as are looked up, and one, at most

	added, ended, left, refused int
	firstRefused                ban.Skip
	changed                     bool
}

func (f *Follower) reading(ctx context.Context) (*reading, error) {
	r := &reading{Follower: f, full: f.whole}
	start := time.Now()
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
	r.missing = max(0, r.seen.LastID-r.last-int64(r.seen.New))
	r.bulky = r.seen.New >= bulk || r.missing >= bulk
	if err == nil && !r.full {
		err = r.ask(ctx, start.Add(lookupWithin))
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

// ofBulk reports whether what changed is a part of a bulk, or the end of one, of
// which some may not have been seen.
func (r *reading) ofBulk() bool { return r.bulky || r.running > 0 && r.missing > 0 }

// ask asks more than what changed, as long as that is taken for no reading.
func (r *reading) ask(ctx context.Context, until time.Time) error {
	asking, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if err := r.settle(ctx, asking); err != nil {
		return err
	}
	due := r.bulk || r.ofBulk() || r.seen.Waited >= longUntilNoted || time.Since(r.asked) >= numbersEvery
	if r.timeOnly || !due {
		return nil
	}
	left, _, err := r.Ledger.LeftOut(ctx, time.Now(), r.MaxBans)
	if err != nil || left > 0 { // it is not to be counted twice
		return err
	}
	return r.askNumbers(ctx, asking)
}

// askNumbers asks for what has a greater number than was known.
func (r *reading) askNumbers(ctx, asking context.Context) error {
	r.longer = true // a longer decision may hide one that is found
	defer func() { r.longer = false }()
	seen, err := r.List.Newer(asking, r.Query, r.number, func(e lapi.Event) error { return r.take(ctx, e) })
	if failed := r.flush(ctx); failed != nil {
		return failed
	}
	switch {
	case errors.Is(err, lapi.ErrNoNumbers):
		r.timeOnly = true
	case err != nil: // everything is read then, which is not to fail
		r.Log.Debug("what has a greater number could not be read", "error", err)
	default:
		r.numbered, r.newer = true, seen
	}
	return nil
}

// settle asks what is in force where there is a doubt, if that is soon done.
func (r *reading) settle(ctx, asking context.Context) error {
	if len(r.doubtful) > lookups {
		return nil
	}
	doubtful := r.doubtful
	r.doubtful = nil
	for i, doubt := range doubtful {
		found, err := r.List.Lookup(asking, r.Query, doubt.Prefix)
		if err != nil { // everything is read then, which is not to fail
			r.doubtful = doubtful[i:]
			r.Log.Debug("what is listed could not be looked up", "error", err)
			break
		}
		longest := r.longest(found, doubt.Prefix)
		r.Log.Debug("looked up whether another decision stands", "prefix", doubt.Prefix, "number", longest.Number)
		if longest.Number != 0 {
			r.listed = append(r.listed, longest)
		} else {
			doubt.Sure = true
			r.unlisted = append(r.unlisted, doubt)
		}
	}
	return r.flush(ctx)
}

// longest returns the ban of a prefix that ends last.
func (r *reading) longest(found []lapi.Decision, prefix netip.Prefix) (longest ledger.Listed) {
	now := time.Now()
	for _, d := range found {
		bans, _, _ := r.judge(d, now)
		for _, b := range bans {
			if b.Prefix == prefix && b.Until.After(now) && b.Until.After(longest.Until) {
				longest = ledger.Listed{Ban: b, Number: d.ID}
			}
		}
	}
	return longest
}

func (r *reading) judge(d lapi.Decision, now time.Time) ([]ban.Ban, ban.Skip, bool) {
	return r.Filter.Judge(ban.Listed{
		Origin: d.Origin, Scenario: d.Scenario, Scope: d.Scope, Type: d.Type, Value: d.Value, Left: d.Left,
	}, now)
}

// take takes one decision.
func (r *reading) take(ctx context.Context, e lapi.Event) error {
	now := time.Now()
	bans, skip, refused := r.judge(e.Decision, now)
	if refused && !e.Deleted && !r.longer {
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
	if r.longer {
		longer, err := r.Ledger.Longer(ctx, r.listed, time.Now())
		if err != nil {
			return err
		}
		r.listed = append(r.listed[:0], longer...)
	}
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
	r.ended += e.Bans
	for _, doubt := range e.Doubtful {
		at := slices.IndexFunc(r.doubtful, func(d ledger.Unlisted) bool { return d.Prefix == doubt.Prefix })
		switch {
		case at >= 0: // by several decisions
			if doubt.Since.After(r.doubtful[at].Since) {
				r.doubtful[at] = doubt
			}
		case len(r.doubtful) <= lookups:
			r.doubtful = append(r.doubtful, doubt)
		}
	}
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
