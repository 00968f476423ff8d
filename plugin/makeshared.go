package plugin

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/config"
	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/outbox"
)

// makeShared makes a notification whose state several machines share. If the database cannot be used now, the notification
// records in the outbox, and tries again. Configure does not fail because of the database: otherwise CrowdSec would not start.
func (p *Plugin) makeShared(ctx context.Context, d config.Document, log hclog.Logger) (*notification, error) {
	state := StateOf(d)
	box, err := openOrReplace(ctx, state, State.openOutbox, log)
	if isTemporary(err) {
		return p.makeStateless(ctx, d, log, err)
	}
	if err != nil {
		return nil, state.withOwnerHint(err)
	}
	connecting, cancel := context.WithTimeout(ctx, firstConnect)
	defer cancel()
	store, err := state.Open(connecting)
	if err == nil {
		n, err := p.makeWithSharedState(ctx, d, store, box, log)
		if err != nil {
			return nil, errors.Join(err, box.Close())
		}
		return n, nil
	}
	n, failed := p.options.prepare(ctx, d, nil, log)
	if failed != nil {
		return nil, errors.Join(failed, box.Close())
	}
	n.exporter, n.outbox, n.away = p.exporter, box, err
	n.work = func(ctx context.Context) { p.awaitDatabase(ctx, n, err) }
	return n, nil
}

// firstConnect is how long Configure waits for the database.
const firstConnect = 2 * time.Second

// makeWithSharedState makes a notification with the open shared ledger and the open outbox. If it fails, the outbox stays
// open.
func (p *Plugin) makeWithSharedState(ctx context.Context, d config.Document, store *ledger.Ledger, box *outbox.Outbox,
	log hclog.Logger) (*notification, error) {
	n, err := p.makeWithState(ctx, d, store, log)
	if err != nil {
		return nil, err
	}
	n.outbox = box
	identity, err := StateOf(d).makeIdentity()
	if err != nil { // the plugin runs without it
		log.Error("another machine with the name of this one would not be noticed", "error", err)
	}
	store.UseIdentity(identity)
	n.sharing = newSharing(n)
	return n, nil
}

// awaitDatabase opens the shared ledger as soon as possible, and then replaces the notification that only records in the outbox.
func (p *Plugin) awaitDatabase(ctx context.Context, before *notification, why error) {
	failed := failures.NewLog(before.log)
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	var showing sync.WaitGroup
	defer showing.Wait()
	isHeld := make(chan struct{})
	showing.Go(func() { before.showAway(waiting, isHeld) })
	for {
		failed.Failed(hclog.Error, "the database of the shared state cannot be used: alerts are recorded on this machine, and not enforced",
			"error", why)
		select {
		case <-isHeld:
			err := before.outbox.RecordAway(ctx, why.Error(), time.Now())
			if err := errors.Join(err, before.outbox.RecordAlone(ctx, false)); err != nil { // an earlier process may have been alone
				before.log.Debug("the outbox cannot store since when the database cannot be used", "error", err)
			}
		default:
		}
		if !pause(ctx, leaseEvery) {
			return
		}
		store, err := StateOf(before.document).Open(ctx)
		if err != nil {
			why = err
			continue
		}
		next, err := p.makeWithSharedState(ctx, before.document, store, before.outbox, before.log)
		if err != nil {
			why = err
			continue
		}
		stop()
		showing.Wait() // next takes the lease
		if p.replace(before, next) {
			failed.Succeeded("the database of the shared state can be used again")
		} else {
			_ = store.Close() // the previous notification still uses the outbox
		}
		return
	}
}

// showAway holds the lease of this machine and serves the metrics until the context ends. So an administrator sees that the process runs,
// and that the database cannot be used. showAway closes isHeld when it has the lease.
func (n *notification) showAway(ctx context.Context, isHeld chan<- struct{}) {
	held := n.takeLease(ctx)
	if held == nil {
		return
	}
	defer func() { _ = held.Release() }()
	close(isHeld)
	if n.document.Prometheus.Enabled {
		n.exporter.Listen(ctx, n.document.Prometheus)
	}
	<-ctx.Done()
}
