package follower

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"notification-stormshield/lapi"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
)

const (
	// batchSize is how many decisions go to the ledger at once.
	batchSize = 1000
	// fullReadDelay is how long after a poll that may lack changes, or a full read that lacks decisions, a full read is due.
	fullReadDelay = time.Minute
	// askWithin is how long after the start of a stream other questions are asked.
	askWithin = 50 * time.Second
	// deletionStep is how many decisions CrowdSec deletes at once (decisionDeleteBulkSize of CrowdSec 1.7.8).
	deletionStep = 256
	// mostMissMinutes is how many minutes in a row must bring decisions that no poll listed before the log warns. Long
	// transactions cause a few.
	mostMissMinutes = 5
)

// update is one poll or one full read, and the changes that it brings.
type update struct {
	*Follower
	filter     ban.Filter
	fullRead   *ledger.FullRead // nil: this is a poll
	lastPoll   time.Time        // of a full read: when the last poll began
	deletedIDs map[int64]bool   // the IDs that polls during a full read list as deleted; nil: there is no full read

	added, deleted []ban.Decision // one batch

	before     int64 // of a full read: the highest ID before it
	recorded   ledger.Recorded
	refused    ban.Skips // of the current question
	unreadable int
}

// poll asks what changed, and then for the decisions that polls missed. It makes a full read due if changes may be lacking:
//   - IDs are low again, so that the database is a new one.
//   - Many decisions were deleted. CrowdSec deletes in steps, and a poll between two steps may miss the later ones.
//   - A deletion matches no decision, and the ledger has one without UUID and ID on its prefix.
//   - Decisions are unknown, and the Local API cannot be asked for higher IDs.
func (u *update) poll(ctx context.Context, now time.Time) error {
	before := u.ids.highest()
	seen, err := u.stream(ctx, false)
	if err != nil {
		return err
	}
	isNewDatabase := u.recorded.LowestID > 0 && u.recorded.LowestID <= before
	u.ids.addAnswer(now, seen.HighestID)
	u.reportRefused()
	above, goesBack := u.ids.nextQuestion(now, before)
	switch {
	case !u.canAsk():
	case !u.ids.unsupported:
		err = u.readAbove(ctx, now, above)
	case goesBack:
		err = u.checkDatabase(ctx)
	}
	if err != nil {
		return err
	}
	if goesBack {
		u.warnOfSecondReader()
	}
	mayLack := isNewDatabase || u.recorded.Ended >= deletionStep || u.recorded.Unmatched > 0 || u.ids.unsupported && u.recorded.Unknown > 0
	if mayLack && u.nextFullRead.IsZero() {
		u.nextFullRead = now.Add(fullReadDelay)
	}
	return nil
}

// readAbove asks for the decisions above an ID.
func (u *update) readAbove(ctx context.Context, now time.Time, id int64) error {
	before := u.recorded.Unknown
	seen, err := u.LocalAPI.ReadAbove(ctx, u.Query, id, func(e lapi.Event) error { return u.add(ctx, e) })
	if failed := u.store(ctx); err == nil {
		err = failed
	}
	if errors.Is(err, lapi.ErrNoIDs) {
		u.ids.unsupported = true
		return nil
	}
	u.ids.missed += u.recorded.Unknown - before
	if err != nil {
		return err
	}
	u.ids.addAnswer(now, seen.HighestID)
	u.reportRefused()
	return nil
}

// warnOfSecondReader logs that another program uses the same key: the Local API reports each change to one of the two only.
func (u *update) warnOfSecondReader() {
	missed := u.ids.missed
	if u.ids.missed = 0; missed == 0 {
		u.ids.missMinutes = 0
		return
	}
	if u.ids.missMinutes++; u.ids.missMinutes == mostMissMinutes {
		u.Log.Warn("polls keep missing decisions of the Local API: another program seems to use the same key",
			"hint", "give this document a key of its own: cscli bouncers add NAME, and put it into lapi.key")
	}
}

// checkDatabase asks a question that fails if the Local API's database fails. A poll gets an empty list then.
func (u *update) checkDatabase(ctx context.Context) error {
	_, err := u.LocalAPI.Lookup(ctx, u.Query, netip.MustParsePrefix("192.0.2.1/32"))
	return err
}

// canAsk reports whether a question other than a stream is harmless. The Local API records when a stream began. A question
// more than a minute later counts as a stream too, and the next stream lacks the deletions before it (GetDecision of
// CrowdSec 1.7.8).
func (u *update) canAsk() bool { return time.Since(u.streamBegan) < askWithin }

// stream asks what changed, or for everything.
func (u *update) stream(ctx context.Context, everything bool) (lapi.Summary, error) {
	q := u.Query
	q.Startup = everything
	began := time.Now()
	seen, err := u.LocalAPI.Stream(ctx, q, func(e lapi.Event) error { return u.add(ctx, e) })
	if failed := u.store(ctx); err == nil { // decisions that arrived before an error count
		err = failed
	}
	u.streamBegan = began
	u.unreadable += seen.Unreadable
	if err == nil && seen.Unreadable > 0 && seen.New+seen.Deleted == 0 {
		err = fmt.Errorf("none of the %d decisions in its answer can be read", seen.Unreadable)
	}
	return seen, err
}

// add filters one decision and adds it to the batch. It stores a full batch.
func (u *update) add(ctx context.Context, e lapi.Event) error {
	isKnown := false // another answer listed it
	switch {
	case e.ID == 0:
	case u.fullRead != nil && !e.Deleted && u.deletedIDs[e.ID]:
		return nil
	case u.fullRead != nil:
		isKnown = e.ID <= u.before
	case !e.Deleted:
		isKnown = !u.ids.listed.add(e.ID)
	case u.deletedIDs != nil:
		u.deletedIDs[e.ID] = true
	}
	decisions, skip := u.filter.AdmitListed(ban.Listed{
		UUID: e.UUID, ID: e.ID, Origin: e.Origin, Scenario: e.Scenario, Scope: e.Scope, Type: e.Type, Value: e.Value, Left: e.Left,
	}, time.Now())
	if skip.Kind != "" && !e.Deleted && !isKnown {
		u.refused.Add(skip)
	}
	if e.Deleted {
		u.deleted = append(u.deleted, decisions...)
	} else {
		u.added = append(u.added, decisions...)
	}
	if len(u.added) < batchSize && len(u.deleted) < batchSize {
		return nil
	}
	if err := u.store(ctx); err != nil {
		return err
	}
	return u.pollDuringFullRead(ctx)
}

// pollDuringFullRead polls within a full read, which may take long. The next poll after a full read lists everything since
// the full read began, so no change is lost (StreamDecision of CrowdSec 1.7.8).
func (u *update) pollDuringFullRead(ctx context.Context) error {
	now := time.Now()
	if u.fullRead == nil || u.lastFullRead.IsZero() || now.Sub(u.lastPoll) < u.PollEvery {
		return nil
	}
	u.lastPoll = now
	poll := &update{Follower: u.Follower, filter: u.filter, deletedIDs: u.deletedIDs}
	err := poll.poll(ctx, now)
	poll.report(err)
	return err
}

// store records the batch. New decisions come first: a decision in both lists has ended.
func (u *update) store(ctx context.Context) error {
	added, err := u.Ledger.RecordListed(ctx, u.fullRead, u.added, time.Now(), u.MaxBans)
	u.recorded.Add(added)
	if err != nil {
		return err
	}
	deleted, err := u.Ledger.RemoveDeleted(ctx, u.deleted, time.Now(), u.MaxBans)
	u.recorded.Add(deleted)
	u.added, u.deleted = u.added[:0], u.deleted[:0]
	return err
}

// reportRefused reports the decisions that the answer to one question lists for the first time, and that the filter refuses. It
// runs after addAnswer, which keeps the highest ID of that answer, so that a decision counts once.
func (u *update) reportRefused() {
	if u.refused.Total == 0 {
		return
	}
	first := u.refused.First[0]
	u.Log.Warn("decisions of the Local API were not turned into bans", "refused", u.refused.Total, "first", first.Value, "reason", first.Reason)
	if u.OnRefused != nil {
		for kind, n := range u.refused.ByKind {
			u.OnRefused(kind, n)
		}
	}
	u.refused = ban.Skips{}
}

// report calls OnChange if bans changed, also after an error. It logs an update that changed something, and each full read.
func (u *update) report(err error) {
	if u.recorded.Added+u.recorded.Extended+u.recorded.Ended > 0 {
		u.OnChange()
	}
	if err != nil {
		return
	}
	if u.recorded.Added+u.recorded.Ended > 0 || u.fullRead != nil {
		u.Log.Info("read the Local API", "added", u.recorded.Added, "ended", u.recorded.Ended, "full", u.fullRead != nil)
	}
	if u.unreadable > 0 {
		u.Log.Warn("decisions of the Local API cannot be read, and block nothing", "unreadable", u.unreadable)
	}
}
