package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// perSecond is the number of alerts per second in a storm.
const perSecond = 100

// atSize is the result for a size.
type atSize struct {
	size
	received  []time.Duration // Notify's answers to alerts of perAlert
	peakFirst int64           // memory after receiving and the first flush, in bytes
	latencies []time.Duration // of lone bans, from the answer to the entry on the blacklist
	storm     storm
	peak      int64 // memory after everything, in bytes
}

// storm is the result of a storm.
type storm struct {
	took    []time.Duration // from the planned time of an alert to its answer
	flushes int             // during the storm
}

// measure measures receiving, the first flush, lone bans and a storm, in this
// order. The appliance edits its files.
func (s size) measure(ctx context.Context, o options) (at atSize, err error) {
	progress("%s bans in force: receive them, first flush", grouped(s.bans))
	at.size = s
	h, took, err := newBlockingHarness(ctx, o, normal, s.bans, perAlert)
	if err != nil {
		return at, err
	}
	defer h.close()
	at.received = took
	if at.peakFirst, err = h.Plugin.PeakMemory(); err != nil {
		return at, err
	}
	progress("  lone bans")
	for range s.lone {
		latency, _, err := h.loneBan(ctx)
		if err != nil {
			return at, fmt.Errorf("lone ban %d: %w", len(at.latencies)+1, err)
		}
		at.latencies = append(at.latencies, latency)
	}
	progress("  storm")
	if at.storm, err = h.runStorm(ctx, s.duration); err != nil {
		return at, err
	}
	at.peak, err = h.Plugin.PeakMemory()
	return at, err
}

// bigAlert is the result of one alert with very many bans, which is the first that
// the plugin receives.
type bigAlert struct {
	bans     int
	answered time.Duration
	peak     int64 // memory after the first flush, in bytes
}

func measureAlert(ctx context.Context, o options, bans int) (a bigAlert, err error) {
	progress("one alert of %s bans", grouped(bans))
	h, took, err := newBlockingHarness(ctx, o, normal, bans, bans)
	if err != nil {
		return a, err
	}
	defer h.close()
	a.bans, a.answered = bans, took[0]
	a.peak, err = h.Plugin.PeakMemory()
	return a, err
}

// loneBan sends one ban when nothing is pending, and returns the time from
// Notify's answer to the entry on the blacklist.
func (h *harness) loneBan(ctx context.Context) (latency time.Duration, c cost, err error) {
	if err := h.waitForFrequency(ctx); err != nil {
		return 0, c, err
	}
	prefix, logged := h.fresh.next(1)[0], h.startCounting()
	if _, err := h.ban(ctx, banFor, prefix); err != nil {
		return 0, c, err
	}
	answered := time.Now()
	if c, err = h.flush(ctx, logged, outcome{added: 1}); err != nil {
		return 0, c, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Second, fmt.Errorf("%s is not blocked after its flush", prefix))
	defer cancel()
	blocked, err := h.Appliance.WaitBlocked(ctx, prefix)
	return blocked.Sub(answered), c, err
}

// runStorm sends alerts of one decision each at a steady rate, without waiting
// for the answers, while the plugin flushes.
func (h *harness) runStorm(ctx context.Context, duration time.Duration) (storm, error) {
	count := int(duration.Seconds() * perSecond)
	texts := make([]string, count)
	for i, p := range h.fresh.next(count) {
		texts[i] = plugintest.Ban(banFor, p).Text()
	}
	h.banned += count
	s, failures := storm{took: make([]time.Duration, count)}, make([]error, count)
	logged, start := h.Plugin.Log().Len(), time.Now()
	var sending sync.WaitGroup
	for i, text := range texts {
		planned := start.Add(time.Duration(i) * time.Second / perSecond)
		if err := plugintest.Pause(ctx, time.Until(planned)); err != nil {
			sending.Wait()
			return s, err
		}
		sending.Go(func() {
			failures[i] = h.Plugin.Notify(ctx, h.Configuration.Name, text)
			s.took[i] = time.Since(planned)
		})
	}
	sending.Wait()
	if err := errors.Join(failures...); err != nil {
		return s, fmt.Errorf("in the storm: %w", err)
	}
	for _, line := range h.Plugin.Log().Since(logged) {
		if line.IsFlush() {
			s.flushes++
		}
	}
	return s, h.waitForAll(ctx)
}

// waitForAll waits until the appliance blocks every ban.
func (h *harness) waitForAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("not everything is blocked after the storm"))
	defer cancel()
	for {
		changed := h.Appliance.BlacklistChanged()
		if h.Appliance.BlacklistLen() == h.banned {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
