package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// rounds is for how many update_frequency an unchanged Local API is watched.
const rounds = 10

// listPlan is a Local API that lists so many bans, each by so many decisions.
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

// list is what came of following a Local API.
type list struct {
	listPlan
	read time.Duration // from the plugin's configuration until all is in the ledger
	peak int64         // of memory after the flush that follows, in bytes

	// Of an unchanged Local API with one decision a ban, in so many rounds.
	asked       plugintest.LocalAPIStats
	connections int // to the appliance
}

func (p listPlan) measure(ctx context.Context, o options) (l list, err error) {
	progress("a Local API that lists %s", p)
	l.listPlan = p
	w, err := newWorld(ctx, o, setting{way: changeOnly, frequency: quickFrequency, debounce: quickDebounce})
	if err != nil {
		return l, err
	}
	defer w.close()
	if _, err = w.firstFlush(ctx); err != nil { // there is nothing yet
		return l, err
	}
	local := plugintest.NewLocalAPI()
	defer local.Close()
	local.Left = banFor
	addresses := w.fresh.next(p.bans)
	for range p.decisions {
		for _, a := range addresses {
			local.Add(plugintest.NewUUID(), a.Addr().String())
		}
	}
	w.banned = p.bans
	if err = l.follow(ctx, w, local); err != nil {
		return l, err
	}
	if l.peak, err = w.plugin.PeakMemory(); err != nil || p.decisions > 1 {
		return l, err
	}
	w.appliance.ResetStats()
	local.TakeStats()
	if err = pause(ctx, rounds*w.frequency); err != nil {
		return l, err
	}
	l.asked = local.TakeStats()
	s := w.appliance.Stats()
	l.connections = s.SSHConnections + s.APIConnections
	return l, nil
}

// follow has the plugin read everything, and measures that and its flush.
func (l *list) follow(ctx context.Context, w *world, local *plugintest.LocalAPI) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the list was not read"))
	defer cancel()
	from, start := w.watch(), time.Now()
	err := w.configure(ctx, func(c *plugintest.Configuration) { c.LAPI = local.Section() })
	if err != nil {
		return err
	}
	read, err := w.plugin.Log().Wait(ctx, from.lines, func(l plugintest.Line) bool { return l.Message == "read the Local API" })
	if err != nil {
		return err
	}
	l.read = read.Received.Sub(start)
	if n := read.Int("added"); n != l.bans {
		return fmt.Errorf("of %s bans %s were read", grouped(l.bans), grouped(n))
	}
	if _, err = w.flush(ctx, from, outcome{added: l.bans, reasserted: true}); err != nil {
		return err
	}
	return w.blocksAll()
}

// targets are for the most bans; fewer are only told of.
func (l list) targets() []target {
	which, limit := "the Local API's full list", int64(listPeakTarget)
	if l.decisions > 1 {
		limit = severalTarget
		which = fmt.Sprintf("a full list of %s decisions, %d a ban", grouped(l.bans*l.decisions), l.decisions)
	}
	read := target{what: fmt.Sprintf("reading %s into the state", which), bans: l.bans, measured: seconds(l.read)}
	peak := target{what: fmt.Sprintf("peak of the plugin's memory: reading %s, first flush", which), bans: l.bans, measured: bytes(l.peak)}
	if l.bans >= most {
		peak.aim, peak.reached = "≤ "+bytes(limit), l.peak <= limit
	}
	if l.decisions > 1 {
		return []target{read, peak}
	}
	perRound := float64(l.asked.Requests) / rounds
	size := l.asked.Bytes / int64(max(l.asked.Requests, 1))
	return []target{read, peak, {
		what: fmt.Sprintf("an unchanged Local API: requests in %d × update_frequency, bytes of an answer / connections to the appliance", rounds),
		bans: l.bans, measured: fmt.Sprintf("%d, %s / %d", l.asked.Requests, bytes(size), l.connections),
		aim: "two each, ≤ 1 KiB / 0", reached: perRound <= 2.2 && l.asked.Requests > 0 && size <= 1<<10 && l.connections == 0,
	}}
}
