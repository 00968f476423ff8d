package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/protobufs"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/ban"
	"notification-stormshield/plugin/enforcer"
)

// Notify records the decisions of one notification. If it returns no error, all of them are durable.
func (p *Plugin) Notify(ctx context.Context, message *protobufs.Notification) (*protobufs.Empty, error) {
	p.mu.Lock()
	n := p.running[message.GetName()]
	p.mu.Unlock()
	if n == nil {
		return nil, fmt.Errorf("there is no configuration named %.100q", message.GetName())
	}
	if err := n.notify(ctx, message.GetText(), time.Now()); err != nil {
		n.log.Error("notification failed", "error", err)
		return nil, err
	}
	return &protobufs.Empty{}, nil
}

func (n *notification) notify(ctx context.Context, text string, now time.Time) error {
	result, malformed := ban.Read(text, n.filter, now)
	if len(result.Decisions) > 0 {
		if n.stateless != nil {
			n.counters.CountUnrecorded(n.stateless)
			return n.stateless
		}
		if err := n.record(ctx, result.Decisions, now); err != nil {
			n.counters.CountUnrecorded(err)
			return err
		}
		n.counters.ObserveRecorded()
	}
	n.report(result, now)
	if malformed != nil {
		return malformed
	}
	if result.HasTest {
		return n.test(ctx)
	}
	return nil
}

// record records decisions of an alert: in the outbox if several machines share the state, and otherwise in the ledger.
func (n *notification) record(ctx context.Context, decisions []ban.Decision, now time.Time) error {
	if n.outbox != nil {
		if err := n.outbox.Add(ctx, decisions, now); err != nil {
			return err
		}
		if n.sharing != nil {
			n.sharing.forwarder.Trigger()
		}
		n.log.Debug("recorded", "decisions", len(decisions))
		return nil
	}
	recorded, err := n.ledger.Record(ctx, decisions, now, n.document.Decisions.MaxBans)
	if err == nil {
		n.enforcer.Trigger()
		n.log.Debug("recorded", "added", recorded.Added, "extended", recorded.Extended, "known", len(decisions)-recorded.Unknown)
	}
	return err
}

// report logs and counts the decisions that block nothing.
func (n *notification) report(r ban.Result, now time.Time) {
	n.emptyAlerts.add(r.WithoutDecisions, now, n.log)
	for kind, decisions := range r.Refused.ByKind {
		n.counters.CountRefused(kind, decisions)
	}
	if r.Refused.Total > 0 {
		first := r.Refused.First[0]
		n.log.Warn("decisions were not turned into bans", "refused", r.Refused.Total, "first", first.Value, "reason", first.Reason)
	}
	if r.Ignored.Total > 0 {
		first := r.Ignored.First[0]
		n.log.Debug("decisions were ignored", "ignored", r.Ignored.Total, "first", first.Value, "reason", first.Reason)
	}
}

// test answers `cscli notifications test` with the result of a check of the appliance. It respects the login hold-off, because
// CrowdSec repeats a failing test.
func (n *notification) test(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-500*time.Millisecond)) // time for the answer itself
		defer cancel()
	}
	hold, held, err := n.lockout.Current(n.credentials, time.Now())
	if err != nil {
		return err
	}
	if held {
		return fmt.Errorf("no login is tried before %s: %s (hint: %s)",
			hold.Until.Local().Format(time.DateTime), hold.Reason, hold.Advice())
	}
	err = n.appliance.Check(ctx)
	var login *appliance.LoginError
	if errors.As(err, &login) {
		_, failed := n.lockout.RecordFailure(n.credentials, enforcer.FailureOf(login), time.Now())
		return errors.Join(fmt.Errorf("%w (hint: %s)", login, login.Hint), failed)
	}
	if err != nil {
		return err
	}
	n.log.Info("the test alert arrived, and the appliance is set up well")
	return n.lockout.RecordSuccess(n.credentials)
}
