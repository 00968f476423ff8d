package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin/forwarder"
	"notification-stormshield/plugin/lease"
	"notification-stormshield/plugin/ledger"
)

// Hold is the right of a command to flush while no plugin does.
type Hold struct {
	local  *lease.Lease
	shared *lease.Shared  // nil: no other machine shares the state
	ledger *ledger.Ledger // nil: it cannot be read
}

// TryHold takes the lease of a configuration for a command and, if several machines share the state, the shared lease too. It returns nil and
// the name of the holder if a plugin holds one of them.
func TryHold(ctx context.Context, d config.Document, store *ledger.Ledger) (held *Hold, holder string, err error) {
	state := StateOf(d)
	local, err := lease.Try(state.Lease)
	if err != nil {
		return nil, "", err
	}
	if local == nil {
		holder = "the plugin"
		if pid, err := lease.Holder(state.Lease); err == nil && pid != 0 {
			holder = fmt.Sprintf("the plugin (process %d)", pid)
		}
		return nil, holder, nil
	}
	held = &Hold{local: local, ledger: store}
	if !state.IsShared() {
		return held, "", nil
	}
	holder, err = held.takeShared(ctx, d)
	if err != nil || holder != "" {
		held.Release(ctx)
		return nil, holder, err
	}
	return held, "", nil
}

// takeShared takes the shared lease. It returns the name of another holder.
func (h *Hold) takeShared(ctx context.Context, d config.Document) (holder string, err error) {
	contender := &lease.Contender{Database: StateOf(d).Database}
	defer contender.Close()
	if h.shared, err = contender.Try(ctx); err != nil {
		return "", withSharedHint(err)
	}
	if h.shared == nil {
		return h.nameHolder(ctx), nil
	}
	if h.ledger == nil {
		return "", nil
	}
	before, err := h.ledger.TakeOver(ctx, d.Decisions.MaxBans, time.Now())
	if err == nil {
		err = awaitPreviousHolder(ctx, before, StateOf(d).Machine)
	}
	return "", err
}

// nameHolder returns the machine that holds the shared lease.
func (h *Hold) nameHolder(ctx context.Context) string {
	if h.ledger == nil {
		return "the plugin on another machine"
	}
	status, err := h.ledger.Status(ctx, time.Now())
	if err == nil {
		for _, machine := range status.Machines {
			if machine.IsHolder {
				return "the plugin on the machine " + machine.Name
			}
		}
	}
	return "the plugin on another machine"
}

// Permit returns an error if another machine may flush now.
func (h *Hold) Permit() error {
	if h.shared == nil {
		return nil
	}
	return h.shared.Permit()
}

// WithLease returns a context that ends when the shared lease is lost.
func (h *Hold) WithLease(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if h.shared != nil {
		go func() {
			select {
			case <-h.shared.Lost():
				cancel(h.shared.Permit())
			case <-ctx.Done():
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}

// Forward forwards the decisions that wait on this machine to the shared ledger. Otherwise the plugin does that when it starts.
func (h *Hold) Forward(ctx context.Context, d config.Document, o Options) error {
	if h.shared == nil {
		return nil
	}
	box, err := StateOf(d).openOutbox(ctx)
	if err != nil {
		return err
	}
	if identity, err := StateOf(d).ReadIdentity(); err == nil {
		h.ledger.UseIdentity(identity)
	}
	f := forwarder.New(forwarder.Config{Outbox: box, Ledger: h.ledger, MaxBans: d.Decisions.MaxBans, Version: o.Version, Log: o.logOf(d)})
	return errors.Join(f.ForwardOnce(ctx), box.Close())
}

// Release gives the leases back.
func (h *Hold) Release(ctx context.Context) {
	if h.shared != nil {
		if h.ledger != nil {
			_ = endTerm(ctx, h.ledger)
		}
		h.shared.Release()
	}
	_ = h.local.Release()
}
