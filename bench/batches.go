package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// batches are what several new bans at once take over a link: address by
// address, or by the group that lists all bans. The key api_single_max says
// up to how many go the first way.
type batches struct {
	bans int // in force before
	link snstest.Link
	of   []batch
}

// batch is one number of new bans.
type batch struct {
	number        int
	single, group []span
}

// span is how long after the flush's first connection the first and the last
// of them were on the blacklist.
type span struct{ first, last time.Duration }

func (p batchPlan) measure(ctx context.Context, o options, link snstest.Link) (batches, error) {
	progress("several bans at once over %s", network(link))
	b := batches{bans: p.bans, link: link}
	w, err := newWorld(ctx, o, setting{link: link, way: changeOnly, frequency: quickFrequency, debounce: quickDebounce})
	if err != nil {
		return b, err
	}
	defer w.close()
	if _, err := w.receive(ctx, p.bans, perLarge); err != nil {
		return b, err
	}
	if _, err := w.firstFlush(ctx); err != nil {
		return b, err
	}
	progress("  address by address")
	single, err := w.spans(ctx, p, slices.Max(p.numbers))
	if err != nil {
		return b, err
	}
	progress("  by the group")
	group, err := w.spans(ctx, p, 1)
	if err != nil {
		return b, err
	}
	for i, n := range p.numbers {
		b.of = append(b.of, batch{number: n, single: single[i], group: group[i]})
	}
	return b, nil
}

// spans measures each number of bans under one api_single_max.
func (w *world) spans(ctx context.Context, p batchPlan, singleMax int) ([][]span, error) {
	if err := w.configure(ctx, func(c *plugintest.Configuration) { c.APISingleMax = singleMax }); err != nil {
		return nil, err
	}
	all := make([][]span, len(p.numbers))
	for i, n := range p.numbers {
		for range p.tries {
			s, err := w.span(ctx, n, n > singleMax)
			if err != nil {
				return nil, fmt.Errorf("%d bans: %w", n, err)
			}
			all[i] = append(all[i], s)
		}
	}
	return all, nil
}

// span bans so many addresses in one alert.
func (w *world) span(ctx context.Context, n int, byGroup bool) (span, error) {
	if err := w.rest(ctx); err != nil {
		return span{}, err
	}
	prefixes, from := w.fresh.next(n), w.watch()
	if _, err := w.ban(ctx, banFor, prefixes...); err != nil {
		return span{}, err
	}
	c, err := w.flush(ctx, from, outcome{added: n, reasserted: byGroup})
	if err != nil {
		return span{}, err
	}
	return w.blockedWithin(ctx, c.begun, prefixes)
}

// blockedWithin returns when after a moment the first and the last of some
// bans came on the blacklist, where all of them are by now.
func (w *world) blockedWithin(ctx context.Context, start time.Time, prefixes []netip.Prefix) (span, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Second, fmt.Errorf("not all are blocked after their flush"))
	defer cancel()
	var after []time.Duration
	for _, p := range prefixes {
		blocked, err := w.appliance.WaitBlocked(ctx, p)
		if err != nil {
			return span{}, err
		}
		after = append(after, blocked.Sub(start))
	}
	return span{first: slices.Min(after), last: slices.Max(after)}, nil
}
