package plugin

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/lease"
)

const (
	// firstFlushAfter is the age at which a process may flush. `crowdsec -t` and `cscli notifications test` start processes
	// that end earlier.
	firstFlushAfter = 3 * time.Second
	// leaseEvery is how often a process that does not hold the lease tries to take it.
	leaseEvery = 500 * time.Millisecond
)

// run watches this machine's addresses until the context ends. While it holds the lease, it also listens for the metrics and, from the age at
// which a process may flush, enforces, follows the Local API and reports to it.
func (n *notification) run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { n.watchOwnAddresses(ctx) })
	held := n.takeLease(ctx)
	if held == nil {
		return
	}
	defer func() { _ = held.Release() }()
	var acting sync.WaitGroup
	defer acting.Wait()
	if n.document.Prometheus.Enabled {
		acting.Go(func() { n.exporter.Listen(ctx, n.document.Prometheus) })
	}
	if !pause(ctx, time.Until(n.options.Started.Add(firstFlushAfter))) {
		return
	}
	if n.sharing != nil {
		n.sharing.act(ctx)
		return
	}
	acting.Go(func() { n.enforcer.Run(ctx) })
	if n.document.LAPI.Followed() {
		acting.Go(func() { n.follow(ctx) })
	}
	if n.document.LAPI.IsUsed() {
		acting.Go(func() { n.reportUsage(ctx) })
	}
	acting.Go(func() { n.keepHistory(ctx) })
}

// takeLease waits for the lease; nil: the context has ended.
func (n *notification) takeLease(ctx context.Context) *lease.Lease {
	path, waiting := StateOf(n.document).Lease, false
	failed := failures.NewLog(n.log)
	for {
		held, err := lease.Try(path)
		switch {
		case held != nil:
			failed.Succeeded("the lease is taken, so bans are enforced")
			return held
		case err != nil:
			failed.Failed(hclog.Error, "the lease cannot be taken, so bans are recorded and not enforced", "error", err,
				"hint", "look at the owner, the modes and the disk of the state folder")
		case !waiting:
			waiting = true
			n.log.Debug("another process flushes; this one records and stands by")
		}
		if !pause(ctx, leaseEvery) {
			return nil
		}
	}
}
