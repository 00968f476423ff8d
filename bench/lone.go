package main

import (
	"context"
	"fmt"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// alone is what came of lone bans.
type alone struct {
	latencies []time.Duration // from the answer to the entry on the blacklist
	flushes   []flush
	peak      int64 // of memory, in bytes, after the first of them
}

// loneBans sends one ban after the other, each when the one before has long
// been dealt with.
func (w *world) loneBans(ctx context.Context, tries int) (alone, error) {
	var a alone
	if err := pause(ctx, updateFrequency); err != nil {
		return alone{}, err
	}
	for range tries {
		latency, f, err := w.loneBan(ctx)
		if err != nil {
			return alone{}, fmt.Errorf("lone ban %d: %w", len(a.flushes)+1, err)
		}
		a.latencies = append(a.latencies, latency)
		a.flushes = append(a.flushes, f)
		if a.peak == 0 {
			if a.peak, err = w.plugin.PeakMemory(); err != nil {
				return alone{}, err
			}
		}
	}
	return a, nil
}

// loneBan sends one ban and waits until the rhythm lets the next one be alone.
func (w *world) loneBan(ctx context.Context) (time.Duration, flush, error) {
	prefix := w.take(1)[0]
	text := plugintest.Ban(banFor, prefix).Text()
	logged := w.plugin.Log().Len()
	w.appliance.ResetStats()
	if err := w.plugin.Notify(ctx, notification, text); err != nil {
		return 0, flush{}, err
	}
	answered := time.Now()
	f, err := w.flush(ctx, logged)
	if err != nil {
		return 0, flush{}, err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, time.Second, fmt.Errorf("%s is not blocked after its flush", prefix))
	defer cancel()
	blocked, err := w.appliance.WaitBlocked(waiting, prefix)
	if err != nil {
		return 0, flush{}, err
	}
	return blocked.Sub(answered), f, pause(ctx, time.Until(blocked.Add(updateFrequency)))
}
