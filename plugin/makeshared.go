package plugin

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/config"
	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/outbox"
)

// makeShared makes a notification whose state several machines share. If the database cannot be reached now, it records in the outbox, and
// tries again. No fault of the database is a reason for Configure to fail, because CrowdSec then does not start.
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
		return p.makeWithSharedState(ctx, d, store, box, log)
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

// makeWithSharedState makes a notification with the open shared ledger and the open outbox.
func (p *Plugin) makeWithSharedState(ctx context.Context, d config.Document, store *ledger.Ledger, box *outbox.Outbox,
	log hclog.Logger) (*notification, error) {
	n, err := p.makeWithState(ctx, d, store, log)
	if err != nil {
		return nil, errors.Join(err, box.Close())
	}
	n.outbox = box
	n.sharing = newSharing(n)
	return n, nil
}

// awaitDatabase opens the shared ledger as soon as possible, and then replaces the notification that only records in the outbox.
func (p *Plugin) awaitDatabase(ctx context.Context, before *notification, why error) {
	failed := failures.NewLog(before.log)
	for {
		failed.Failed(hclog.Error, "the database of the shared state cannot be used: alerts are recorded on this machine, and not enforced",
			"error", why)
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
		if p.replace(before, next) {
			failed.Succeeded("the database of the shared state is reached again")
		} else {
			_ = store.Close() // the outbox belongs to the notification before
		}
		return
	}
}
