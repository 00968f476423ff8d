package main

import (
	"context"
	"fmt"
	"slices"
	"time"

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

// measure measures over all networks, address by address and by the group. Each
// harness waits for its update_frequency while others are measured.
func (p batchPlan) measure(ctx context.Context, o options) ([]batches, error) {
	var all []batches
	var harnesses []*harness
	defer func() {
		for _, h := range harnesses {
			h.close()
		}
	}()
	for _, link := range links {
		progress("several bans at once over %s", network(link))
		all = append(all, batches{bans: p.bans, link: link, of: make([]batch, len(p.numbers))})
		for _, singleMax := range []int{slices.Max(p.numbers), 1} {
			s := spaced
			s.link, s.singleMax = link, singleMax
			h, _, err := newBlockingHarness(ctx, o, s, p.bans, perLarge)
			if err != nil {
				return nil, err
			}
			harnesses = append(harnesses, h)
		}
	}
	for i, n := range p.numbers {
		progress("  %d", n)
		for range p.tries {
			for _, h := range harnesses {
				b := &all[slices.Index(links, h.link)].of[i]
				b.number = n
				spans, want := &b.single, outcome{added: n}
				if n > h.singleMax {
					spans, want = &b.group, byGroup(n)
				}
				s, err := h.span(ctx, n, want)
				if err != nil {
					return nil, fmt.Errorf("%d bans over %s: %w", n, network(h.link), err)
				}
				*spans = append(*spans, s)
			}
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
