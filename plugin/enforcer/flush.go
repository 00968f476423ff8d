package enforcer

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/guard"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/lockout"
	"notification-stormshield/plugin/pacer"
)

// flushTimeout bounds how long the appliance applies one change. Every step has its own deadline too.
const flushTimeout = 15 * time.Minute

// Flush applies what is pending. Its caller holds the lease.
func (e *Enforcer) Flush(ctx context.Context) (pacer.Result, error) {
	changes, err := e.Ledger.Changes(ctx)
	var result pacer.Result
	e.round.unfinished = false
	if changes.Request != e.round.request {
		e.round = round{request: changes.Request}
		e.filesRetry.at = time.Time{} // a request tries the files at once
	}
	if err == nil {
		result, err = guard.Call("a flush", func() (pacer.Result, error) { return e.flushUnlessHeldOff(ctx, time.Now()) })
	}
	var warned warning
	if errors.As(err, &warned) { // for the pacer, the flush ended well
		e.log(err)
		return result, nil
	}
	if errors.As(err, new(*appliance.NotPermittedError)) { // it is no failure of the appliance
		e.Log.Debug("a flush ended before its next step", "reason", err)
		return result, err
	}
	if ctx.Err() == nil && err != nil && !isFilesError(err) {
		e.report(context.WithoutCancel(ctx), err, changes.Request)
	}
	if errors.As(err, new(ruleMissing)) { // new bans do not wait for the rule
		return result, nil
	}
	return result, err
}

// IsUnfinished reports whether the last flush applied a part, and left the rest to the next one.
func (e *Enforcer) IsUnfinished() bool { return e.round.unfinished }

// report logs and records an error.
func (e *Enforcer) report(ctx context.Context, err error, request int64) {
	e.log(err)
	e.record(ctx, err, request)
}

// log logs an error.
func (e *Enforcer) log(err error) { e.failures.Failed(hclog.Error, err.Error()) }

// record records an error for status.
func (e *Enforcer) record(ctx context.Context, err error, request int64) {
	if failed := e.Ledger.RecordFailure(ctx, ledger.WholeFlush, err.Error(), request, time.Now()); failed != nil {
		e.Log.Debug("the failure could not be recorded", "error", failed)
	}
}

// flushUnlessHeldOff flushes, and records a failed login.
func (e *Enforcer) flushUnlessHeldOff(ctx context.Context, now time.Time) (pacer.Result, error) {
	hold, held, err := e.currentHoldOff(now)
	if err != nil {
		return pacer.Result{}, err
	}
	if held {
		e.logHoldOff(hold)
		return pacer.Result{Next: hold.Until}, nil
	}
	start := time.Now()
	e.contacted = false
	result, err := e.flush(ctx, now)
	if e.OnFlush != nil && ctx.Err() == nil {
		e.OnFlush(Flushed{Contacted: e.contacted, Took: time.Since(start), Err: err})
	}
	var login *appliance.LoginError
	if errors.As(err, &login) {
		now := time.Now()
		// This is recorded also if the context has ended, because the next process must not log in.
		hold, failed := e.Lockout.RecordFailure(e.Credentials, FailureOf(login), now)
		if failed != nil {
			e.unrecorded = hold
			e.report(context.WithoutCancel(ctx), errors.Join(err, failed), e.round.request)
		}
		e.logHoldOff(hold)
		return pacer.Result{Acted: true, Next: hold.Until}, nil
	}
	return result, err
}

// currentHoldOff returns the hold-off of all processes, or the one that this process could not record.
func (e *Enforcer) currentHoldOff(now time.Time) (lockout.HoldOff, bool, error) {
	hold, held, err := e.Lockout.Current(e.Credentials, now)
	if now.Before(e.unrecorded.Until) {
		return e.unrecorded, true, nil
	}
	return hold, held, err
}

// logHoldOff logs a login hold-off once, with its reason.
func (e *Enforcer) logHoldOff(h lockout.HoldOff) {
	if h.Until.Equal(e.loggedHoldOff) {
		return
	}
	e.loggedHoldOff = h.Until
	e.failures.Failed(hclog.Error, "no further login is tried for now, bans are recorded and not enforced: "+h.Reason,
		"until", h.Until.Format(time.RFC3339), "failed", h.Failures, "hint", h.Advice())
}

// flush asks what is pending and applies it. It does so again if another appliance answers. If the files cannot be written, it applies
// what needs no files, and returns the error of the files.
func (e *Enforcer) flush(ctx context.Context, now time.Time) (pacer.Result, error) {
	if err := e.Ledger.ApplyLimit(ctx, now, e.MaxBans); err != nil {
		return pacer.Result{}, err
	}
	if err := e.checkTarget(ctx, now); err != nil {
		return pacer.Result{}, err
	}
	f, err := e.prepare(ctx, now)
	if err != nil {
		return pacer.Result{}, err
	}
	if err := e.reportWaiting(ctx, f.plan, now); err != nil {
		return pacer.Result{}, err
	}
	result, err := f.run(ctx)
	var other *appliance.OtherApplianceError
	if errors.As(err, &other) {
		if err := e.recordOtherAppliance(ctx, now, f.plan.Target, other); err != nil {
			return pacer.Result{}, err
		}
		if f, err = e.prepare(ctx, now); err != nil {
			return pacer.Result{}, err
		}
		result, err = f.run(ctx)
	}
	if !isFilesError(err) || ctx.Err() != nil {
		return result, err
	}
	e.recordFilesFailure(context.WithoutCancel(ctx), err)
	overAPI, failed := e.prepare(ctx, time.Now())
	if failed == nil {
		result, failed = overAPI.run(ctx)
	}
	return result, cmp.Or(failed, err)
}

// prepare plans a flush, and decides how it applies the plan.
func (e *Enforcer) prepare(ctx context.Context, now time.Time) (*flush, error) {
	options := e.planOptions(now)
	p, err := e.Ledger.Plan(ctx, options)
	if err != nil {
		return nil, err
	}
	t := e.chooseTask(p, now)
	if t.waitsForFiles {
		options.OneByOne = true
		if p, err = e.Ledger.Plan(ctx, options); err != nil {
			return nil, err
		}
		p.Requested = false // only a flush with the files answers a request
		t.reassert = p.InForce > 0 && e.mustReassert(p, now) && !p.Target.WithoutBlacklist
	}
	return &flush{Enforcer: e, now: now, plan: p, task: t, first: t.files && p.Compared.IsZero()}, nil
}

// mustReassert reports whether a re-assert is due. It is not necessary if this flush blocks everything one by one. If the last
// re-assert is in the future, the clock was set back, and the ends of the entries are unknown.
func (e *Enforcer) mustReassert(p ledger.Plan, now time.Time) bool {
	blocksAll := p.InForce > 0 && p.BlocksAll
	return needsReassert(p) && !blocksAll && (p.Requested || now.Before(p.Confirmed) || !now.Before(e.reassertAt(p)))
}

// needsReassert reports whether a re-assert has work: bans to block again, or ended bans to remove from the files.
func needsReassert(p ledger.Plan) bool { return p.InForce > 0 || p.FilesDiffer() }

// reassertAt returns when everything in force must be blocked again: after Config.Reassert, or after half of an entry's life, so
// that no entry ends before its ban.
func (e *Enforcer) reassertAt(p ledger.Plan) time.Time {
	every := e.Reassert
	if every == 0 {
		every = e.EntryLife / 2
	}
	return p.Confirmed.Add(every)
}

// planOptions says that an entry is renewed if it ends before its ban and within half of its usual life.
func (e *Enforcer) planOptions(now time.Time) ledger.PlanOptions {
	return ledger.PlanOptions{Now: now, Renew: now.Add(e.EntryLife / 2), SingleMax: e.SingleMax, OneByOne: e.WithoutSSH, Cut: e.Cut}
}

// nextFlush returns when the next flush is due by the clock; zero: nothing is in force, and the files hold no ended ban.
func (e *Enforcer) nextFlush(p ledger.Plan, t task, now time.Time) time.Time {
	next := p.Next
	consider := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if p.InForce > 0 {
		consider(e.reorderAt(p, now))
	}
	if t.waitsForFiles {
		consider(e.filesRetry.at)
	} else if !p.Stale.IsZero() {
		consider(e.activateAt(p, now))
	}
	switch {
	case !e.missingRule.at.IsZero():
		consider(e.missingRule.at)
	case p.InForce > 0 && (!t.waitsForFiles || !p.Target.WithoutBlacklist), !t.waitsForFiles && p.FilesDiffer():
		consider(e.reassertAt(p))
	}
	return next
}

// reorderAt returns when waiting bans are compared again with enforced ones. Decisions end often, so this happens at most once per
// Rhythm.Every.
func (e *Enforcer) reorderAt(p ledger.Plan, now time.Time) time.Time {
	at := now.Add(e.Rhythm.Every)
	switch {
	case p.NextDecision.IsZero():
		return p.Next
	case p.NextDecision.After(at):
		return p.NextDecision
	}
	return at
}
