package enforcer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/pacer"
)

const (
	// flushTimeout bounds one flush as a whole; every step of it has a
	// deadline of its own.
	flushTimeout = 15 * time.Minute

	// takeover is how long a block stands that was found on the appliance and
	// that nothing explains: as long as CrowdSec's default ban.
	takeover = 4 * time.Hour
)

// Flush looks what differs and has the appliance told. Whoever calls it
// outside of Run must hold the lease.
func (e *Enforcer) Flush(ctx context.Context) (pacer.Result, error) {
	limited, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	result, err := e.guarded(limited, time.Now())
	if ctx.Err() == nil {
		e.complaint.about(err, time.Now())
	}
	return result, err
}

// guarded flushes unless logins are held off, and survives a panic: CrowdSec
// never starts a crashed plugin again.
func (e *Enforcer) guarded(ctx context.Context, now time.Time) (result pacer.Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a flush panicked, which is a fault of this program: %v\n%s", r, debug.Stack())
		}
	}()
	hold, held, err := e.Ledger.HeldOff(ctx, e.Credentials, now)
	if err != nil {
		return pacer.Result{}, err
	}
	if held {
		e.complaint.heldOff(hold)
		return pacer.Result{Next: hold.Until}, nil
	}
	result, err = e.flush(ctx, now)
	var refused *LoginError
	if errors.As(err, &refused) {
		hold, failed := e.Ledger.LoginRefused(ctx, e.Credentials, refused.Error(), refused.Delay, time.Now())
		if failed != nil {
			return result, errors.Join(err, failed)
		}
		e.complaint.heldOff(hold)
		return pacer.Result{Acted: true, Next: hold.Until}, nil
	}
	return result, err
}

func (e *Enforcer) flush(ctx context.Context, now time.Time) (pacer.Result, error) {
	p, err := e.Ledger.Plan(ctx, e.question(now, false))
	if err != nil {
		return pacer.Result{}, err
	}
	first := p.Flushed.IsZero()
	reassert := !p.Next.IsZero() && !now.Before(e.reassertAt(p))
	if !p.Due() && !first && !reassert {
		if p.Stale {
			err = e.Ledger.Tidy(ctx, p)
		}
		return pacer.Result{Next: e.next(p)}, err
	}
	if first {
		if err := e.takeOver(ctx, now); err != nil {
			return pacer.Result{}, err
		}
	}
	if first || !p.Due() {
		if p, err = e.Ledger.Plan(ctx, e.question(now, true)); err != nil {
			return pacer.Result{}, err
		}
	}
	return e.apply(ctx, p, reassert || first && len(p.Standing) > 0)
}

func (e *Enforcer) apply(ctx context.Context, p ledger.Plan, reassert bool) (pacer.Result, error) {
	start, total := time.Now(), len(p.Standing)
	done, failed := e.Appliance.Apply(ctx, Change{
		Block: p.Block, Unblock: p.Unblock, Standing: p.Standing, Reassert: reassert,
		Begin: func() error { return e.Ledger.Trying(ctx, p) },
	})
	// What was acknowledged is recorded also when the time for the rest is over.
	recording := context.WithoutCancel(ctx)
	if err := e.Ledger.Wrote(recording, p, done.Outcome); err != nil {
		return pacer.Result{}, errors.Join(failed, err)
	}
	if failed != nil {
		return pacer.Result{}, failed
	}
	if done.At.IsZero() { // a dry run: nothing was done, nobody logged in
		return pacer.Result{Acted: true, Next: p.Next}, nil
	}
	if err := e.Ledger.LoginAccepted(recording, e.Credentials); err != nil {
		return pacer.Result{}, err
	}
	e.complaint.over()
	e.Log.Info("flushed", "added", p.Blocks, "removed", len(p.Unblock), "leftovers", done.Leftovers,
		"total", total, "reasserted", !done.Asserted.IsZero(), "took", time.Since(start).Round(time.Millisecond).String())
	if !done.Asserted.IsZero() {
		p.Asserted, p.AssertedUntil = done.Asserted, done.AssertedUntil
	}
	return pacer.Result{Acted: true, Next: e.next(p)}, nil
}

// takeOver records what an earlier installation left blocked, so that it stays
// blocked for a while instead of being let in at once.
func (e *Enforcer) takeOver(ctx context.Context, now time.Time) error {
	blocked, err := e.Appliance.Blocked(ctx)
	if err != nil {
		return err
	}
	var bans []ban.Ban
	for _, p := range blocked {
		if !e.Refuses(p) {
			bans = append(bans, ban.Ban{Prefix: p, Until: now.Add(takeover), Scenario: "found on the appliance"})
		}
	}
	if len(bans) == 0 {
		return nil
	}
	if _, err := e.Ledger.Record(ctx, bans, ledger.Takeover, now, e.MaxBans); err != nil {
		return err
	}
	e.Log.Info("took over bans that an earlier installation left on the appliance", "bans", len(bans), "until", now.Add(takeover).Format(time.RFC3339))
	return nil
}

// question is what the ledger is asked. An entry that would end within half of
// its usual life, and before its ban, is renewed.
func (e *Enforcer) question(now time.Time, all bool) ledger.Question {
	return ledger.Question{Now: now, Renew: now.Add(e.EntryLife / 2), Few: e.Few, All: all}
}

// reassertAt is when everything is to be blocked anew.
func (e *Enforcer) reassertAt(p ledger.Plan) time.Time {
	if e.Reassert > 0 {
		return p.Asserted.Add(e.Reassert)
	}
	return p.AssertedUntil.Add(-e.EntryLife / 2)
}

// next is when something will be due by the clock.
func (e *Enforcer) next(p ledger.Plan) time.Time {
	if p.Next.IsZero() {
		return time.Time{}
	}
	if at := e.reassertAt(p); at.Before(p.Next) {
		return at
	}
	return p.Next
}
