package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// perSecond is how many alerts a storm has in a second.
const perSecond = 100

// storm is what came of one.
type storm struct {
	took    []time.Duration // to answer, from when the alert was due
	flushes int             // meanwhile
}

// storm sends alerts of one decision each at a steady pace, whether or not
// those before have been answered, while the plugin flushes.
func (w *world) storm(ctx context.Context, lasting time.Duration) (storm, error) {
	count := int(lasting.Seconds() * perSecond)
	texts := make([]string, count)
	for i, p := range w.fresh.next(count) {
		texts[i] = plugintest.Ban(banFor, p).Text()
	}
	w.banned += count
	s, failures := storm{took: make([]time.Duration, count)}, make([]error, count)
	logged, start := w.plugin.Log().Len(), time.Now()
	var sent sync.WaitGroup
	for i, text := range texts {
		due := start.Add(time.Duration(i) * time.Second / perSecond)
		if err := pause(ctx, time.Until(due)); err != nil {
			sent.Wait()
			return s, err
		}
		sent.Go(func() {
			failures[i] = w.plugin.Notify(ctx, notification, text)
			s.took[i] = time.Since(due)
		})
	}
	sent.Wait()
	if err := errors.Join(failures...); err != nil {
		return s, fmt.Errorf("in the storm: %w", err)
	}
	s.flushes = w.flushesSince(logged)
	return s, w.allBlocked(ctx)
}

func (w *world) flushesSince(logged int) int {
	n := 0
	for _, line := range w.plugin.Log().Since(logged) {
		if line.Message == "flushed" {
			n++
		}
	}
	return n
}

// allBlocked waits until the appliance blocks everything that was banned.
func (w *world) allBlocked(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("not everything is blocked after the storm"))
	defer cancel()
	for {
		changed := w.appliance.BlacklistChanged()
		if w.appliance.BlacklistLen() == w.banned {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
