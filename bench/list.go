package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// rounds is the number of update_frequency for which an unchanged Local API is watched.
const rounds = 10

// listPlan is a Local API with a number of bans, each by a number of decisions.
type listPlan struct {
	bans      int
	decisions int
}

func (p listPlan) String() string {
	if p.decisions == 1 {
		return grouped(p.bans) + " bans"
	}
	return fmt.Sprintf("%s bans by %d decisions each", grouped(p.bans), p.decisions)
}

// list is the result of following a Local API.
type list struct {
	listPlan
	read  time.Duration // from the plugin's configuration until the ledger has everything
	first time.Duration // of the next flush
	peak  int64         // memory after that flush, in bytes

	// Of an unchanged Local API with one decision per ban, in all rounds.
	asked       plugintest.LocalAPIStats
	connections int // to the appliance
}

func (p listPlan) measure(ctx context.Context, o options) (l list, err error) {
	progress("a Local API that lists %s", p)
	h, l, err := p.follow(ctx, o, short)
	if err != nil {
		return l, err
	}
	defer h.close()
	if p.decisions > 1 {
		return l, nil
	}
	h.Appliance.ResetStats()
	h.LocalAPI.TakeStats()
	if err = plugintest.Pause(ctx, rounds*h.frequency); err != nil {
		return l, err
	}
	l.asked = h.LocalAPI.TakeStats()
	s := h.Appliance.Stats()
	l.connections = s.SSHConnections + s.APIConnections
	return l, nil
}

// follow makes a plugin that follows a Local API, and measures until it has blocked everything.
func (p listPlan) follow(ctx context.Context, o options, s setting) (h *harness, l list, err error) {
	l.listPlan = p
	if h, err = p.newHarness(ctx, o, s); err != nil {
		return nil, l, err
	}
	if err = h.beingScraped(ctx, func() error { return l.measureReading(ctx, h) }); err == nil {
		l.peak, err = h.Plugin.PeakMemory()
	}
	if err != nil {
		h.close()
		return nil, l, err
	}
	return h, l, nil
}

// newHarness makes a plugin, and a Local API that it does not follow yet.
func (p listPlan) newHarness(ctx context.Context, o options, s setting) (*harness, error) {
	h, _, err := newBlockingHarness(ctx, o, s, 0, perLarge)
	if err != nil {
		return nil, err
	}
	local := h.StartLocalAPI()
	local.Left = banFor
	addresses := h.fresh.next(p.bans)
	for range p.decisions {
		for _, a := range addresses {
			local.Add(plugintest.NewUUID(), a.Addr().String())
		}
	}
	h.banned = p.bans
	return h, nil
}

// measureReading measures how the plugin reads everything, and the flush that follows.
func (l *list) measureReading(ctx context.Context, h *harness) error {
	logged, err := l.measureList(ctx, h)
	if err != nil {
		return err
	}
	first, err := h.flush(ctx, logged, byGroup(l.bans))
	l.first = first.wall
	return err
}

// measureList measures how the plugin reads everything. It returns the length of the log before that.
func (l *list) measureList(ctx context.Context, h *harness) (logged int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the plugin did not read the list in time"))
	defer cancel()
	logged = h.startCounting()
	start := time.Now()
	if err := h.configure(ctx, func(c *plugintest.Configuration) { c.LAPI = h.LocalAPI.Section() }); err != nil {
		return logged, err
	}
	read, err := h.Plugin.Log().Wait(ctx, logged, func(l plugintest.Line) bool { return l.Message == "read the Local API" })
	if err != nil {
		return logged, err
	}
	l.read = read.Received.Sub(start)
	if n := read.Int("added"); n != l.bans {
		return logged, fmt.Errorf("the plugin read %s of %s bans", grouped(n), grouped(l.bans))
	}
	return logged, nil
}
