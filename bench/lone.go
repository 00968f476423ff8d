package main

import (
	"context"
	"fmt"
	"time"
)

// The rhythm of the worlds in which bans come one by one or in a storm.
const (
	updateFrequency = 2 * time.Second
	debounce        = time.Second
)

// atSize is what came of a size.
type atSize struct {
	size
	received  []time.Duration // Notify's answers to alerts of perAlert
	peakFirst int64           // of memory after receiving and the first flush, in bytes
	latencies []time.Duration // of lone bans, from the answer to the entry on the blacklist
	inStorm   storm
	peak      int64 // of memory after everything
}

// measure measures, in this order, receiving, the first flush, lone bans and
// a storm. The plugin works in the way it prefers.
func (s size) measure(ctx context.Context, o options) (at atSize, err error) {
	progress("%s bans in force: receive them, first flush", grouped(s.bans))
	at.size = s
	w, err := newWorld(ctx, o, setting{way: changeOnly, frequency: updateFrequency, debounce: debounce})
	if err != nil {
		return at, err
	}
	defer w.close()
	if at.received, err = w.receive(ctx, s.bans, perAlert); err != nil {
		return at, err
	}
	if _, err = w.firstFlush(ctx); err != nil {
		return at, err
	}
	if at.peakFirst, err = w.plugin.PeakMemory(); err != nil {
		return at, err
	}
	progress("  lone bans")
	for range s.lone {
		latency, err := w.loneBan(ctx)
		if err != nil {
			return at, fmt.Errorf("lone ban %d: %w", len(at.latencies)+1, err)
		}
		at.latencies = append(at.latencies, latency)
	}
	progress("  storm")
	if at.inStorm, err = w.storm(ctx, s.storm); err != nil {
		return at, err
	}
	at.peak, err = w.plugin.PeakMemory()
	return at, err
}

// loneBan sends one ban when the one before has long been dealt with, and
// returns how long after Notify's answer it was on the blacklist.
func (w *world) loneBan(ctx context.Context) (time.Duration, error) {
	if err := w.rest(ctx); err != nil {
		return 0, err
	}
	prefix, from := w.fresh.next(1)[0], w.watch()
	if _, err := w.ban(ctx, banFor, prefix); err != nil {
		return 0, err
	}
	answered := time.Now()
	if _, err := w.flush(ctx, from, outcome{added: 1}); err != nil {
		return 0, err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, time.Second, fmt.Errorf("%s is not blocked after its flush", prefix))
	defer cancel()
	blocked, err := w.appliance.WaitBlocked(waiting, prefix)
	return blocked.Sub(answered), err
}
