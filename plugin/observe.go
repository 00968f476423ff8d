package plugin

import (
	"context"
	"errors"
	"net"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/metrics"
)

// source returns the notification for the exporter.
func (n *notification) source() metrics.Source {
	return metrics.Source{
		Health: HealthSource(n.document, n.lockout, n.ledger, n.outbox, n.away), NoState: n.stateless, Counters: n.counters, Observed: n.appliance.Observed,
	}
}

// countFlush counts a flush that has ended.
func (n *notification) countFlush(f enforcer.Flushed) {
	result := metrics.Succeeded
	switch {
	case enforcer.IsWarning(f.Err):
		result = metrics.Warned
	case f.Err != nil:
		result = metrics.Failed
		n.counters.CountFailure(n.kindOf(f.Err, f.Contacted))
	}
	if f.Contacted {
		n.counters.CountFlush(result, f.Took)
	}
}

// kindOf returns the kind of a failure. Before a flush contacts the appliance, only the state can fail.
func (n *notification) kindOf(err error, contacted bool) string {
	var network net.Error
	switch {
	case !contacted:
		return metrics.StateError
	case errors.As(err, new(*appliance.LoginError)):
		return metrics.LoginError
	case errors.As(err, new(*appliance.ActivationError)):
		return metrics.ActivationError
	case errors.As(err, new(*appliance.FilesError)):
		return metrics.FilesError
	case enforcer.IsRuleMissing(err):
		return metrics.RuleError
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return metrics.TimeoutError
	case errors.As(err, &network):
		return metrics.NetworkError
	case n.options.IsCommandError != nil && n.options.IsCommandError(err):
		return metrics.CommandError
	}
	return metrics.OtherError
}

// sampleAgain is how soon a sample that could not be recorded is tried again.
const sampleAgain = time.Minute

// keepHistory records samples of the bans until the context ends. So a state that cannot be written is found also while no alert arrives.
func (n *notification) keepHistory(ctx context.Context) {
	for failed := false; ; {
		wait := ledger.SampleEvery
		err := n.ledger.RecordSample(ctx, time.Now())
		switch {
		case err != nil && ctx.Err() == nil:
			n.counters.CountUnrecorded(err)
			n.log.Debug("a sample of the bans could not be recorded", "error", err)
			failed, wait = true, sampleAgain
		case failed: // otherwise a sample proves nothing: it is small, and may have room on a full disk
			n.counters.ObserveRecorded()
			failed = false
		}
		if !pause(ctx, wait) {
			return
		}
	}
}
