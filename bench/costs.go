package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// kind is a kind of flush.
type kind int

const (
	first kind = iota
	oneMore
	oneEnded
	thousandMore
	reassertion
	kinds
)

func (k kind) String() string {
	return [...]string{"the first", "one more ban", "one ended ban", "1,000 more bans in one alert", "a re-assert"}[k]
}

// costs are the costs of flushes with a number of bans in force over a link, one
// for each try.
type costs struct {
	bans int
	link snstest.Link
	of   [ways][kinds][]cost
}

// measure alternates between both ways, so that other load on the machine
// affects both.
func (p costPlan) measure(ctx context.Context, o options) (costs, error) {
	progress("flushes with %s bans in force over %s", grouped(p.bans), network(p.link))
	c := costs{bans: p.bans, link: p.link}
	var harnesses []*harness
	defer func() {
		for _, h := range harnesses {
			h.close()
		}
	}()
	for way := range ways {
		progress("  %s: first flush", way)
		s := short
		s.link, s.way = p.link, way
		h, err := newHarness(ctx, o, s)
		if err != nil {
			return c, fmt.Errorf("%s: %w", way, err)
		}
		harnesses = append(harnesses, h)
		if err := c.begin(ctx, h); err != nil {
			return c, fmt.Errorf("%s: %w", way, err)
		}
	}
	for try := range max(p.tries[wholeFiles], p.tries[changeOnly]) {
		for _, h := range harnesses {
			if try >= p.tries[h.way] {
				continue
			}
			progress("  %s: one more ban, and its end", h.way)
			if err := c.try(ctx, h); err != nil {
				return c, fmt.Errorf("%s: %w", h.way, err)
			}
		}
	}
	for _, h := range harnesses {
		progress("  %s: re-assert, 1,000 more", h.way)
		if err := c.finish(ctx, h); err != nil {
			return c, fmt.Errorf("%s: %w", h.way, err)
		}
	}
	return c, nil
}

// begin measures the first flush.
func (c *costs) begin(ctx context.Context, h *harness) error {
	if _, err := h.receive(ctx, c.bans, perLarge); err != nil {
		return err
	}
	// The plugin waits long after many failed flushes. A new configuration ends that wait.
	if err := h.configure(ctx, unchanged); err != nil {
		return err
	}
	cost, err := h.firstFlush(ctx)
	c.add(h, first, cost)
	return err
}

func (c *costs) add(h *harness, k kind, of cost) { c.of[h.way][k] = append(c.of[h.way][k], of) }

// try measures one more ban and its end. By the flushes before, the ban ends
// after its flush.
func (c *costs) try(ctx context.Context, h *harness) error {
	of := &c.of[h.way]
	flush := of[first][0].wall * 11 / 5 // it sends whole files once, a later flush twice
	if len(of[oneMore]) > 0 {
		flush = slices.Max(walls(of[oneMore])) * 3 / 2
	}
	more, ended, valid, err := h.oneMoreAndItsEnd(ctx, 1500*time.Millisecond+flush)
	if err != nil {
		return err
	}
	c.add(h, oneMore, more)
	if valid {
		c.add(h, oneEnded, ended)
	}
	return nil
}

// finish measures a re-assert and 1,000 more bans.
func (c *costs) finish(ctx context.Context, h *harness) error {
	of := &c.of[h.way]
	if len(of[oneEnded]) == 0 {
		return errors.New("this machine is too slow to separate the flush of a ban from that of its end")
	}
	again, err := h.reassert(ctx, of[first][0].ended)
	if err != nil {
		return fmt.Errorf("re-assert: %w", err)
	}
	c.add(h, reassertion, again)
	more, _, err := h.flushOfBans(ctx, 1000, true)
	if err != nil {
		return fmt.Errorf("1,000 more bans: %w", err)
	}
	c.add(h, thousandMore, more)
	return h.checkBlacklist()
}

func walls(of []cost) []time.Duration {
	return column(of, func(c cost) time.Duration { return c.wall })
}

// typical is the median of each measure.
func typical(of []cost) cost {
	return cost{
		wall:        median(walls(of)),
		sshUp:       median(column(of, func(c cost) int64 { return c.sshUp })),
		sshDown:     median(column(of, func(c cost) int64 { return c.sshDown })),
		apiUp:       median(column(of, func(c cost) int64 { return c.apiUp })),
		apiDown:     median(column(of, func(c cost) int64 { return c.apiDown })),
		shellCPU:    median(column(of, func(c cost) time.Duration { return c.shellCPU })),
		connections: median(column(of, func(c cost) int { return c.connections })),
		logins:      median(column(of, func(c cost) int { return c.logins })),
	}
}
