package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"notification-stormshield/stormshield/snstest"
)

// kind is a kind of flush.
type kind int

const (
	first kind = iota
	oneMore
	oneEnded
	reassertion
	oneRange
	thousandMore
	reassertionWithFiles
	kinds
)

func (k kind) String() string {
	return [...]string{
		"the first", "one more ban", "one ended ban", "a re-assert", "one more range", "1,000 more bans in one alert", "a re-assert that writes the files",
	}[k]
}

// by is the name of the kind in a way.
func (k kind) by(w way) string {
	if w == withoutSSH {
		return k.String() + ", " + w.String()
	}
	return k.String()
}

// costs are the costs of flushes with a number of bans in force over a link, one
// for each try. Where the plugin does not write the files, both ways with SSH are the
// same, and only that of the change alone has costs.
type costs struct {
	bans int
	link snstest.Link
	of   [ways][kinds][]cost
}

// measure alternates between the ways, so that other load on the machine affects
// all.
func (p costPlan) measure(ctx context.Context, o options) (costs, error) {
	progress("flushes with %s bans in force over %s", grouped(p.bans), network(p.link))
	c := costs{bans: p.bans, link: p.link}
	var harnesses []*harness
	defer func() {
		for _, h := range harnesses {
			h.close()
		}
	}()
	for i, tries := range p.tries {
		if tries == 0 {
			continue
		}
		s := short
		s.link, s.way = p.link, way(i)
		h, err := newHarness(ctx, o, s)
		if err != nil {
			return c, fmt.Errorf("%s: %w", s.way, err)
		}
		harnesses = append(harnesses, h)
		if err := c.begin(ctx, h); err != nil {
			return c, fmt.Errorf("%s: %w", s.way, err)
		}
	}
	for try := range slices.Max(p.tries[:]) {
		for _, h := range harnesses {
			if try >= p.tries[h.way] {
				continue
			}
			if err := c.try(ctx, h); err != nil {
				return c, fmt.Errorf("%s: %w", h.way, err)
			}
		}
	}
	for _, h := range harnesses {
		if err := c.finish(ctx, h); err != nil {
			return c, fmt.Errorf("%s: %w", h.way, err)
		}
	}
	return c, nil
}

func (c *costs) add(h *harness, k kind, of cost) { c.of[h.way][k] = append(c.of[h.way][k], of) }

// begin measures the first flush.
func (c *costs) begin(ctx context.Context, h *harness) error {
	progress("  %s: first flush", h.way)
	if _, err := h.receive(ctx, c.bans, perLarge); err != nil {
		return err
	}
	cost, err := h.firstFlush(ctx)
	c.add(h, first, cost)
	return err
}

// try measures one more range, and one more ban and its end.
func (c *costs) try(ctx context.Context, h *harness) error {
	if h.way != withoutSSH {
		progress("  %s: one more range", h.way)
		cost, err := h.oneRange(ctx)
		if err != nil {
			return fmt.Errorf("one more range: %w", err)
		}
		c.add(h, oneRange, cost)
	}
	if h.way == wholeFiles {
		return nil
	}
	progress("  %s: one more ban, and its end", h.way)
	more, ended, err := h.oneMoreAndItsEnd(ctx)
	c.add(h, oneMore, more)
	c.add(h, oneEnded, ended)
	return err
}

// finish measures re-asserts and 1,000 more bans.
func (c *costs) finish(ctx context.Context, h *harness) error {
	progress("  %s: re-asserts, 1,000 more", h.way)
	last := c.of[h.way][first][0].ended
	if h.way != wholeFiles {
		again, err := h.reassert(ctx, last, false)
		c.add(h, reassertion, again)
		if err != nil || h.way == withoutSSH {
			return err
		}
		last = again.ended
	}
	// This ban goes over the API alone, so the files lack it until the re-assert.
	if _, err := h.flushOfBans(ctx, banFor, h.fresh.next(1), outcome{added: 1}); err != nil {
		return err
	}
	again, err := h.reassert(ctx, last, true)
	if err != nil {
		return err
	}
	c.add(h, reassertionWithFiles, again)
	more, err := h.flushOfBans(ctx, banFor, h.fresh.next(1000), byGroup(1000))
	if err != nil {
		return fmt.Errorf("1,000 more bans: %w", err)
	}
	c.add(h, thousandMore, more)
	return nil
}

// typical is the try with the median time.
func typical(of []cost) cost {
	sorted := slices.SortedFunc(slices.Values(of), func(a, b cost) int { return cmp.Compare(a.wall, b.wall) })
	return sorted[(len(sorted)-1)/2]
}
