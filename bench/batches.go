package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"notification-stormshield/plugin/plugintest"
	"notification-stormshield/stormshield/snstest"
)

// batches are the times of several new bans at once over a link: address by
// address, or by the group. Up to api_single_max, bans go the first way.
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

// span is the time from the flush's first connection to the first and to the last
// entry on the blacklist.
type span struct{ first, last time.Duration }

func (p batchPlan) measure(ctx context.Context, o options, link snstest.Link) (batches, error) {
	progress("several bans at once over %s", network(link))
	b := batches{bans: p.bans, link: link}
	s := short
	s.link = link
	h, _, err := newBlockingHarness(ctx, o, s, p.bans, perLarge)
	if err != nil {
		return b, err
	}
	defer h.close()
	progress("  address by address")
	single, err := h.spans(ctx, p, slices.Max(p.numbers))
	if err != nil {
		return b, err
	}
	progress("  by the group")
	group, err := h.spans(ctx, p, 1)
	if err != nil {
		return b, err
	}
	for i, n := range p.numbers {
		b.of = append(b.of, batch{number: n, single: single[i], group: group[i]})
	}
	return b, nil
}

// spans measures each number of bans with an api_single_max.
func (h *harness) spans(ctx context.Context, p batchPlan, singleMax int) ([][]span, error) {
	if err := h.configure(ctx, func(c *plugintest.Configuration) { c.APISingleMax = singleMax }); err != nil {
		return nil, err
	}
	all := make([][]span, len(p.numbers))
	for i, n := range p.numbers {
		want := outcome{added: n}
		if n > singleMax {
			want = byGroup(n)
		}
		for range p.tries {
			s, err := h.span(ctx, n, want)
			if err != nil {
				return nil, fmt.Errorf("%d bans: %w", n, err)
			}
			all[i] = append(all[i], s)
		}
	}
	return all, nil
}

// span bans addresses in one alert and measures when they are blocked.
func (h *harness) span(ctx context.Context, n int, want outcome) (span, error) {
	prefixes := h.fresh.next(n)
	c, err := h.flushOfBans(ctx, banFor, prefixes, want)
	if err != nil {
		return span{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Second, fmt.Errorf("not all are blocked after their flush"))
	defer cancel()
	var after []time.Duration
	for _, p := range prefixes {
		blocked, err := h.Appliance.WaitBlocked(ctx, p)
		if err != nil {
			return span{}, err
		}
		after = append(after, blocked.Sub(c.begun))
	}
	return span{first: slices.Min(after), last: slices.Max(after)}, nil
}
