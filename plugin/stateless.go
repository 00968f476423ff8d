package plugin

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"notification-stormshield/config"
	"notification-stormshield/plugin/ledger"
)

// isTemporary reports whether the state may be opened later without anybody's doing: the configuration is not at fault.
func isTemporary(err error) bool {
	return errors.Is(err, errHeld) || errors.Is(err, ledger.ErrUnavailable)
}

// startStateless makes a notification whose state cannot be opened yet: CrowdSec would not start if Configure failed. Until
// the state is open it records no ban, and Notify returns the reason, so that CrowdSec sends the alert again.
func (p *Plugin) startStateless(ctx context.Context, d config.Document, log hclog.Logger, why error) (*notification, error) {
	n, err := p.options.prepare(ctx, d, nil, log)
	if err != nil {
		return nil, err
	}
	n.stateless = fmt.Errorf("bans cannot be recorded: %w", why)
	log.Error("bans cannot be recorded: the plugin tries again to open the state", "error", why,
		"hint", "look at the owner, the modes and the disk of the state folder")
	n.work = func(ctx context.Context) { p.awaitState(ctx, n) }
	return n, nil
}

// awaitState opens the state as soon as that works, and puts a usual notification in place of the stateless one.
func (p *Plugin) awaitState(ctx context.Context, stateless *notification) {
	for pause(ctx, leaseEvery) {
		books, err := StateOf(stateless.document).openOrReplace(ctx, stateless.log)
		if err != nil {
			continue
		}
		next, err := p.launch(ctx, stateless.document, books, stateless.log)
		if err != nil {
			continue
		}
		if !p.replace(stateless, next) {
			_ = books.Close() // nothing was written
		}
		return
	}
}

// replace puts a notification in place of a stateless one, and begins it. If the stateless one was closed, or a reload
// replaced it, it does nothing and returns false.
func (p *Plugin) replace(stateless, next *notification) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := stateless.document.Name
	if p.running[name] != stateless {
		return false
	}
	p.running[name] = next
	next.begin()
	stateless.log.Info("the state is open: bans are recorded")
	return true
}
