package plugin

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/config"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/outbox"
)

// isTemporary reports whether the state may be opened later without a change of the configuration.
func isTemporary(err error) bool {
	return errors.Is(err, errLeaseHeld) || errors.Is(err, ledger.ErrUnavailable) || errors.Is(err, outbox.ErrUnavailable)
}

// makeStateless makes a notification whose state cannot be opened yet. Configure must not fail, because CrowdSec then does not
// start. Until the state is open, Notify records nothing and returns the reason, so that CrowdSec sends the alert again.
func (p *Plugin) makeStateless(ctx context.Context, d config.Document, log hclog.Logger, why error) (*notification, error) {
	n, err := p.options.prepare(ctx, d, nil, log)
	if err != nil {
		return nil, err
	}
	n.exporter = p.exporter
	n.stateless = fmt.Errorf("bans cannot be recorded: %w", why)
	log.Error("bans cannot be recorded: the plugin tries again to open the state", "error", why,
		"hint", "look at the owner, the modes and the disk of the state folder")
	n.work = func(ctx context.Context) { p.awaitState(ctx, n) }
	return n, nil
}

// awaitState opens the state as soon as possible, and then replaces the stateless notification.
func (p *Plugin) awaitState(ctx context.Context, stateless *notification) {
	for pause(ctx, leaseEvery) {
		next, err := p.makeNotification(ctx, stateless.document)
		if err != nil || next.stateless != nil {
			continue
		}
		if !p.replace(stateless, next) {
			next.closeState() // nothing was recorded
		}
		return
	}
}

// replace replaces a stateless notification by another one, and starts that one. It returns false if the stateless one was
// closed or replaced meanwhile.
func (p *Plugin) replace(stateless, next *notification) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := stateless.document.Name
	if p.running[name] != stateless {
		return false
	}
	p.running[name] = next
	next.start()
	stateless.log.Info("the state is open: bans are recorded")
	return true
}
