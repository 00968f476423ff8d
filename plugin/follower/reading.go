package follower

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

// reading is one read of the Local API.
type reading struct {
	*Follower
	filter ban.Filter
	full   *ledger.FullRead // nil: it is a poll
	polled time.Time        // of a full read: when the last poll began
	gone   map[int64]bool   // of a full read: the IDs that polls meanwhile list as deleted

	listed   []ban.Decision
	unlisted []ban.Decision

	recorded     ledger.Recorded
	refused      int
	firstRefused ban.Skip
	unreadable   int
}

// changes polls, and then asks for the decisions that polls missed.
func (r *reading) changes(ctx context.Context, now time.Time) error {
	since := r.ids.newest()
	seen, err := r.stream(ctx, false)
	if err != nil {
		return err
	}
	isAnew := r.recorded.LowestID > 0 && r.recorded.LowestID <= since // IDs began again: the database was made anew
	r.ids.see(now, seen.HighestID)
	minute := now.Sub(r.ids.asked) >= idsEvery
	if minute {
		since, r.ids.asked = r.ids.oldest(), now
	}
	if !r.ids.lacks(since) {
		since = r.ids.newest()
	}
	switch {
	case !r.mayAsk():
	case !r.ids.unsupported:
		err = r.above(ctx, now, since)
	case minute:
		err = r.probe(ctx)
	}
	if err != nil {
		return err
	}
	if minute {
		r.suspect()
	}
	if (isAnew || r.recorded.Ended >= deletedAtOnce || r.recorded.Unmatched > 0 || r.ids.unsupported && r.recorded.Unknown > 0) && r.confirm.IsZero() {
		r.confirm = now.Add(confirmAfter)
	}
	return nil
}

// above asks for the decisions above an ID.
func (r *reading) above(ctx context.Context, now time.Time, since int64) error {
	before := r.recorded.Unknown
	seen, err := r.LocalAPI.ReadAbove(ctx, r.Query, since, func(e lapi.Event) error { return r.take(ctx, e) })
	if failed := r.flush(ctx); err == nil {
		err = failed
	}
	if errors.Is(err, lapi.ErrNoIDs) {
		r.ids.unsupported = true
		return nil
	}
	r.ids.missed += r.recorded.Unknown - before
	if err != nil {
		return err
	}
	r.ids.see(now, seen.HighestID)
	return nil
}

// mostSurprises is how many minutes in a row must bring decisions that no poll listed before the log warns. Long
// transactions cause a few.
const mostSurprises = 5

// suspect logs a second reader with the same key: the Local API reports each change to one of the two only.
func (r *reading) suspect() {
	missed := r.ids.missed
	if r.ids.missed = 0; missed == 0 {
		r.ids.surprises = 0
		return
	}
	if r.ids.surprises++; r.ids.surprises == mostSurprises {
		r.Log.Warn("polls keep missing decisions of the Local API: another program seems to use the same key",
			"hint", "give this document a key of its own: cscli bouncers add NAME, and put it into lapi.key")
	}
}

// probe asks a question that fails if the Local API's database fails. A poll gets an empty list then.
func (r *reading) probe(ctx context.Context) error {
	_, err := r.LocalAPI.Lookup(ctx, r.Query, netip.MustParsePrefix("192.0.2.1/32"))
	return err
}

// everything does a full read, and ends the decisions that vanished.
func (r *reading) everything(ctx context.Context, now time.Time) (err error) {
	if r.full, err = r.Ledger.BeginFullRead(ctx); err != nil {
		return err
	}
	r.polled, r.confirm, r.gone = now, time.Time{}, map[int64]bool{}
	seen, err := r.stream(ctx, true)
	if err != nil {
		return err
	}
	r.fullAt = now
	r.ids.restart(now, seen.HighestID)
	if !r.mayAsk() {
		if _, err := r.stream(ctx, false); err != nil || !r.mayAsk() { // without a question, no decision may end
			return err
		}
	}
	if err := r.probe(ctx); err != nil {
		return err
	}
	lacked, err := r.Ledger.EndFullRead(ctx, r.full, r.covers, time.Now())
	if err != nil {
		return err
	}
	left, err := r.endMissing(ctx)
	if err != nil {
		return err
	}
	if lacked > left || r.ids.unsupported && r.recorded.Unknown > 0 {
		r.confirm = now.Add(confirmAfter)
	}
	return nil
}

// mayAsk reports whether a question other than a stream is harmless. The Local API records when a stream began. A question
// more than a minute later counts as a stream too, and the next stream lacks what was deleted meanwhile (GetDecision of
// CrowdSec 1.7.8).
func (r *reading) mayAsk() bool { return time.Since(r.streamed) < askWithin }

// covers reports whether the follower's query selects a decision, by the rules of the Local API. It says no where the
// ledger does not know enough: the decision then ends at its own end.
func (r *reading) covers(d ban.Decision) bool {
	scenario := strings.ToLower(d.Scenario)
	contains := func(part string) bool { return strings.Contains(scenario, strings.ToLower(part)) }
	q := r.Query
	return (len(q.Origins) == 0 || slices.Contains(q.Origins, d.Origin)) && r.coversScope(d) &&
		(len(q.Include) == 0 || slices.ContainsFunc(q.Include, contains)) && !slices.ContainsFunc(q.Exclude, contains)
}

// coversScope reports whether the query selects the scope of a decision. The ledger stores no scope, and an alert may call a
// range Ip. So a decision that the Local API never listed counts only if the query selects both scopes.
func (r *reading) coversScope(d ban.Decision) bool {
	selects := func(scope string) bool {
		return len(r.Query.Scopes) == 0 || slices.ContainsFunc(r.Query.Scopes, func(s string) bool { return strings.EqualFold(s, scope) })
	}
	ip, network := selects("ip"), selects("range")
	if d.Range().IsSingleIP() {
		return ip && (network || d.ID != 0)
	}
	return network && (ip || d.ID != 0)
}

// endMissing ends the decisions that two full reads in a row lacked, if the Local API says the same about a sample of
// them. It returns how many ended.
func (r *reading) endMissing(ctx context.Context) (int, error) {
	missing, err := r.Ledger.Missing(ctx, time.Now())
	if err != nil || missing.Count == 0 {
		return 0, err
	}
	for _, d := range missing.Sample {
		if !r.mayAsk() {
			return 0, nil // the next full read asks again
		}
		found, err := r.LocalAPI.Lookup(ctx, r.Query, d.Prefix)
		if err != nil {
			return 0, fmt.Errorf("full reads lack %d decisions that were listed, and the question about one of them failed, so no decision ends: %w", missing.Count, err)
		}
		for _, f := range found {
			if isSame(d, f) {
				return 0, fmt.Errorf("full reads lack %d decisions, such as the one on %s, which the Local API has: its answers are cut, so no decision ends", missing.Count, d.Prefix)
			}
		}
	}
	recorded, err := r.Ledger.EndMissing(ctx, time.Now(), r.MaxBans)
	r.recorded.Add(recorded)
	return missing.Count, err
}

// isSame reports whether the Local API has a decision that the ledger has. A database that was made anew gives the old IDs
// to other decisions.
func isSame(d ban.Decision, found lapi.Decision) bool {
	if uuid := ban.ParseUUID(found.UUID); d.UUID != (ban.UUID{}) && uuid != (ban.UUID{}) {
		return d.UUID == uuid
	}
	return d.ID != 0 && d.ID == found.ID
}

// stream polls, or reads everything.
func (r *reading) stream(ctx context.Context, full bool) (lapi.Summary, error) {
	q := r.Query
	q.Startup = full
	began := time.Now()
	seen, err := r.LocalAPI.Stream(ctx, q, func(e lapi.Event) error { return r.take(ctx, e) })
	if failed := r.flush(ctx); err == nil { // decisions that arrived before an error count
		err = failed
	}
	r.streamed = began
	r.unreadable += seen.Unreadable
	if err == nil && seen.Unreadable > 0 && seen.New+seen.Deleted == 0 {
		err = fmt.Errorf("none of the %d decisions in its answer can be read", seen.Unreadable)
	}
	return seen, err
}

// take filters one decision and keeps it for the next flush.
func (r *reading) take(ctx context.Context, e lapi.Event) error {
	switch {
	case e.ID == 0:
	case r.full != nil && !e.Deleted && r.gone[e.ID]:
		return nil
	case r.full == nil && !e.Deleted:
		r.ids.listed.add(e.ID)
	case r.full == nil && r.gone != nil:
		r.gone[e.ID] = true
	}
	now := time.Now()
	decisions, skip, refused := r.filter.AdmitListed(ban.Listed{
		UUID: e.UUID, ID: e.ID, Origin: e.Origin, Scenario: e.Scenario, Scope: e.Scope, Type: e.Type, Value: e.Value, Left: e.Left,
	}, now)
	if refused && !e.Deleted {
		if r.refused++; r.refused == 1 {
			r.firstRefused = skip
		}
	}
	if e.Deleted {
		r.unlisted = append(r.unlisted, decisions...)
	} else {
		r.listed = append(r.listed, decisions...)
	}
	if len(r.listed) < batch && len(r.unlisted) < batch {
		return nil
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	return r.pollMeanwhile(ctx)
}

// pollMeanwhile polls within a full read, which may take long. The next poll after a full read lists everything since that
// began, so that no change is lost (StreamDecision of CrowdSec 1.7.8).
func (r *reading) pollMeanwhile(ctx context.Context) error {
	now := time.Now()
	if r.full == nil || r.fullAt.IsZero() || now.Sub(r.polled) < r.PollEvery {
		return nil
	}
	r.polled = now
	poll := &reading{Follower: r.Follower, filter: r.filter, gone: r.gone}
	err := poll.changes(ctx, now)
	poll.finish(err)
	return err
}

// flush stores the decisions that take kept. New ones come first: a decision in both lists has ended.
func (r *reading) flush(ctx context.Context) error {
	listed, err := r.Ledger.RecordListed(ctx, r.full, r.listed, time.Now(), r.MaxBans)
	r.recorded.Add(listed)
	if err != nil {
		return err
	}
	unlisted, err := r.Ledger.RemoveDeleted(ctx, r.unlisted, time.Now(), r.MaxBans)
	r.recorded.Add(unlisted)
	r.listed, r.unlisted = r.listed[:0], r.unlisted[:0]
	return err
}

// finish reports changes of bans, also if the read failed after them. It logs a read that changed something, and each full read.
func (r *reading) finish(err error) {
	if r.recorded.Added+r.recorded.Extended+r.recorded.Ended > 0 {
		r.OnChange()
	}
	if err != nil {
		return
	}
	if r.recorded.Added+r.recorded.Ended > 0 || r.full != nil {
		r.Log.Info("read the Local API", "added", r.recorded.Added, "ended", r.recorded.Ended, "full", r.full != nil)
	}
	if r.refused > 0 {
		r.Log.Warn("decisions of the Local API were not turned into bans", "refused", r.refused, "first", r.firstRefused.Value, "reason", r.firstRefused.Reason)
	}
	if r.unreadable > 0 {
		r.Log.Warn("decisions of the Local API cannot be read, and block nothing", "unreadable", r.unreadable)
	}
}
