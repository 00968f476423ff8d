package enforcer

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/guard"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/pacer"
)

// takeoverTime is how long a prefix stays blocked that the first flush found on the appliance. CrowdSec's default ban is as long.
const takeoverTime = 4 * time.Hour

// flush is one run that applies what is pending.
type flush struct {
	*Enforcer
	now   time.Time
	plan  ledger.Plan
	task  task
	first bool // the first flush of this ledger with the files: an earlier installation may have left bans in them
}

// run applies the plan, and records what the appliance acknowledged.
func (f *flush) run(ctx context.Context) (pacer.Result, error) {
	if f.task.isEmpty(f.plan) {
		return f.tidy(ctx)
	}
	start := time.Now()
	if f.task.reassert && f.round.began.IsZero() {
		f.round.began = f.now
	}
	change, kept, err := f.prepareChange(ctx)
	if err != nil {
		return pacer.Result{}, err
	}
	limited, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	f.contacted = true
	done, failed := f.Appliance.Apply(limited, change)
	done.Unblocked = append(done.Unblocked, kept...) // their entries belong to another configuration now
	if !f.task.files && len(f.plan.Block) < f.plan.BlockCount {
		done.Unfinished = true
	}
	f.refused.record(f.plan.Block, done.Refused)
	confirmed := f.plan.ConfirmedAt(done)
	f.round.unfinished = done.Unfinished && len(done.Blocked)+len(done.Unblocked) > 0
	if !confirmed.IsZero() {
		f.round.began = time.Time{}
	}
	// The acknowledged part is recorded also if the context has ended.
	if err := f.recordOutcome(context.WithoutCancel(ctx), done, failed == nil && ctx.Err() == nil); err != nil {
		return pacer.Result{}, errors.Join(failed, done.Warning, err)
	}
	if done.RuleMissing && failed != nil {
		f.missingRule.failures++
		f.missingRule.at = time.Now().Add(failures.Backoff(f.missingRule.failures, firstFilesRetry, lastFilesRetry))
		return pacer.Result{Acted: true, Next: f.nextFlush(f.planAfter(done, confirmed), f.task, f.now)}, ruleMissing{failed}
	}
	if failed != nil {
		return pacer.Result{}, failed
	}
	f.missingRule = missingRule{}
	if done.At.IsZero() { // a dry run
		return pacer.Result{Acted: true, Next: f.plan.Next}, nil
	}
	if err := f.Lockout.RecordSuccess(f.Credentials); err != nil {
		return pacer.Result{}, err
	}
	if change.AskSerial {
		f.serialReadAt = f.now
	}
	return f.finish(done, confirmed, time.Since(start))
}

// tidy is a flush with nothing to do.
func (f *flush) tidy(ctx context.Context) (result pacer.Result, err error) {
	f.missingRule = missingRule{}
	if f.plan.NeedsTidy {
		err = f.Ledger.Tidy(ctx, f.plan)
	}
	return pacer.Result{Next: f.nextFlush(f.plan, f.task, f.now)}, err
}

// prepareChange returns the change for the appliance, and the ended bans whose entries stay for another configuration.
func (f *flush) prepareChange(ctx context.Context) (appliance.Change, []netip.Prefix, error) {
	reassert := f.task.reassert
	pending, kept, err := f.keepShared(ctx)
	f.refused.sortLast(pending.Block)
	return appliance.Change{
		Pending: pending, Files: f.task.files, Reassert: reassert, GroupListsAll: f.task.groupListsAll,
		AskSerial: f.mustReadSerial(reassert), Serial: f.plan.Target.Serial, OldGroups: f.plan.Target.OldGroups,
		Activate: f.task.activate, Stale: !f.plan.Stale.IsZero(),
		Permit:          f.Permit,
		Begin:           func() error { return f.recordAttempt(ctx) },
		BeginFiles:      func() error { return f.Ledger.RecordUnsure(ctx, f.plan) },
		BeginActivation: func() error { return f.recordActivation(ctx) },
		AllInForce:      f.allInForce,
		BansWithEntry:   func(ctx context.Context) ([]appliance.Ban, error) { return f.Ledger.BansWithEntry(ctx, f.plan) },
		OneByOne:        func(ctx context.Context) ([]netip.Prefix, error) { return f.oneByOne(ctx, reassert) },
	}, kept, err
}

// recordAttempt records which prefixes may have entries from now on. Config.OnAttempt runs at the same time, because each waits for a disk.
func (f *flush) recordAttempt(ctx context.Context) error {
	if f.OnAttempt == nil || len(f.plan.Block) == 0 {
		return f.Ledger.RecordAttempt(ctx, f.plan)
	}
	prefixes := make([]netip.Prefix, len(f.plan.Block))
	for i, b := range f.plan.Block {
		prefixes[i] = b.Prefix
	}
	ended := make(chan error, 1)
	go func() {
		_, err := guard.Call("recording an attempt", func() (any, error) { return nil, f.OnAttempt(ctx, prefixes) })
		ended <- err
	}()
	err := f.Ledger.RecordAttempt(ctx, f.plan)
	if failed := <-ended; failed != nil {
		f.attempts.Failed(hclog.Error, "a flush cannot record on this machine what it is about to block, and goes on", "error", failed,
			"hint", "repair the disk: if the database comes back from a backup, entries of these bans may stay until they end by themselves")
	} else {
		f.attempts.Succeeded("flushes record again what they are about to block")
	}
	return err
}

// recordActivation records that the flush begins to activate the filter rule.
func (f *flush) recordActivation(ctx context.Context) error {
	f.plan.Activated = time.Now()
	return f.Ledger.RecordActivation(ctx, f.plan.Activated)
}

// recordOutcome records the outcome of a flush in the ledger, and logs its warnings.
func (f *flush) recordOutcome(ctx context.Context, done appliance.Outcome, succeeded bool) error {
	// The warning comes first: RecordOutcome answers a request for a flush, and its sender then reads the warning.
	if done.Warning != nil && succeeded && !done.At.IsZero() {
		request := int64(0) // RecordOutcome answers it
		if done.Unfinished {
			request = f.round.request
		}
		f.record(ctx, done.Warning, request)
	}
	if f.plan.EndsFilesFailure(done) {
		f.recordFilesSuccess(ctx, done.FilesWarning)
	}
	waits, err := f.Ledger.RecordOutcome(ctx, f.plan, done, time.Now())
	if err != nil {
		return err
	}
	if f.OnBlocked != nil && len(waits) > 0 {
		f.OnBlocked(waits)
	}
	if done.CutWarning != nil && !f.loggedCut {
		f.loggedCut = true
		f.Log.Warn("the appliance refuses to cut established connections (cut_connections): bans are enforced",
			"error", done.CutWarning, "hint", "give the account of the API the right log, or remove cut_connections")
	}
	return nil
}

// finish logs a flush that ended well, and returns when the next one is due. It returns the flush's warning as an error.
func (f *flush) finish(done appliance.Outcome, confirmed time.Time, took time.Duration) (pacer.Result, error) {
	if done.OldGroupsGone {
		f.reportOldGroups(done.Kept)
	}
	if done.Warning == nil {
		f.failures.Succeeded("flushes succeed again")
		f.loggedHoldOff = time.Time{}
	}
	added, removed := f.plan.BlockCount, len(f.plan.Unblock) // also by the group
	switch {
	case f.plan.Target.WithoutBlacklist:
		added, removed = len(f.plan.Add), len(f.plan.Remove)
	case !f.task.files:
		added = len(done.Blocked)
	}
	f.Log.Info("flushed", "added", added, "removed", removed, "leftovers", done.Leftovers,
		"total", f.plan.InForce, "reasserted", !done.Asserted.IsZero() || !done.Confirmed.IsZero(),
		"ssh", f.task.files, "took", took.Round(time.Millisecond).String())
	result := pacer.Result{Acted: true, Next: f.nextFlush(f.planAfter(done, confirmed), f.task, f.now)}
	if wait := f.refused.nextWait(len(done.Refused) > 0); wait > 0 {
		if retry := f.now.Add(wait); result.Next.IsZero() || retry.Before(result.Next) {
			result.Next = retry
		}
	}
	if done.Unfinished {
		result.Next = f.now
	}
	if done.Warning != nil {
		return result, warning{done.Warning}
	}
	return result, nil
}

// planAfter returns the plan as it is after a flush.
func (f *flush) planAfter(done appliance.Outcome, confirmed time.Time) ledger.Plan {
	after := f.plan
	if !confirmed.IsZero() {
		after.Confirmed = confirmed
	}
	if f.task.files {
		after.Add, after.Remove = nil, nil
	}
	switch {
	case !done.Activated.IsZero():
		after.Stale = time.Time{}
	case done.Changed && f.plan.Target.ByRule:
		after.Stale = f.now
	}
	return after
}

// warning is the error of a flush that ended well with bans that the appliance refused.
type warning struct{ error }

// IsWarning reports whether an error is the warning of a flush that ended well.
func IsWarning(err error) bool { return errors.As(err, new(warning)) }

// IsRuleMissing reports whether a flush failed only because no filter rule in force names the group.
func IsRuleMissing(err error) bool { return errors.As(err, new(ruleMissing)) }

// ruleMissing is the error of a flush that applied everything, and found no filter rule in force.
type ruleMissing struct{ error }

// missingRule says when a flush looks again for a missing filter rule. Flushes for new bans do not wait for that time.
type missingRule struct {
	failures int       // in a row
	at       time.Time // zero: the rule is not known to be missing
}

// oneByOne returns the bans that must be blocked one by one. It leaves out those that an earlier flush of the same re-assert
// blocked.
func (f *flush) oneByOne(ctx context.Context, reassert bool) ([]netip.Prefix, error) {
	var least time.Time
	if reassert {
		least = f.round.began.Add(f.EntryLife)
	}
	return f.Ledger.BansToBlock(ctx, f.plan, f.planOptions(f.now), least)
}

// allInForce returns all bans in force. The first flush takes over the prefixes that are listed in the files.
func (f *flush) allInForce(ctx context.Context, found []netip.Prefix) ([]netip.Prefix, error) {
	if f.first {
		if err := f.takeOver(ctx, found); err != nil {
			return nil, err
		}
		f.first = false
	}
	return f.Ledger.BansInForce(ctx, f.plan)
}

// takeOver records the prefixes that an earlier installation left blocked, and makes a new plan with them.
func (f *flush) takeOver(ctx context.Context, found []netip.Prefix) error {
	until := f.now.Add(takeoverTime)
	filter := f.Filter()
	var admitted []netip.Prefix
	for _, p := range found {
		parts, _ := filter.Admit(p) // an error admits nothing: the flush then unblocks the prefix
		admitted = append(admitted, parts...)
	}
	if len(admitted) == 0 {
		return nil
	}
	recorded, err := f.Ledger.RecordFound(ctx, admitted, until, f.now, f.MaxBans)
	if err != nil {
		return err
	}
	if recorded.Added > 0 {
		f.Log.Info("took over bans that an earlier installation left on the appliance", "bans", recorded.Added, "until", until.Format(time.RFC3339))
	}
	p, err := f.Ledger.Plan(ctx, f.planOptions(f.now))
	if err != nil {
		return err
	}
	f.plan = p
	return nil
}
