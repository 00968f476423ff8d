package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// kind is what a flush is for.
type kind int

const (
	firstOfAll kind = iota
	oneMore
	oneEnded
	thousandMore
	everythingAnew
	kinds
)

func (k kind) String() string {
	return [...]string{"the first", "one more ban", "one ended ban", "1,000 more bans in one alert", "a re-assert"}[k]
}

// costs is what flushes cost with so many bans in force over a link, each
// time they were tried.
type costs struct {
	bans int
	link snstest.Link
	of   [ways][kinds][]cost
}

// The rhythm of the worlds in which flushes are measured one by one: as quick
// as there is.
const (
	quickFrequency = time.Second
	quickDebounce  = 100 * time.Millisecond
)

// measure has both ways take turns, so that what else the machine does meets
// both.
func (p costPlan) measure(ctx context.Context, o options) (costs, error) {
	progress("flushes with %s bans in force over %s", grouped(p.bans), network(p.link))
	c := costs{bans: p.bans, link: p.link}
	var worlds [ways]*world
	defer func() {
		for _, w := range worlds {
			if w != nil {
				w.close()
			}
		}
	}()
	for way := range ways {
		progress("  %s: first flush", way)
		w, first, err := p.begin(ctx, o, way)
		if err != nil {
			return c, fmt.Errorf("%s: %w", way, err)
		}
		worlds[way], c.of[way][firstOfAll] = w, []cost{first}
	}
	for try := range max(p.tries[wholeFiles], p.tries[changeOnly]) {
		for _, w := range worlds {
			if try >= p.tries[w.way] {
				continue
			}
			progress("  %s: one more ban, and its end", w.way)
			if err := c.try(ctx, w); err != nil {
				return c, fmt.Errorf("%s: %w", w.way, err)
			}
		}
	}
	for _, w := range worlds {
		progress("  %s: re-assert, 1,000 more", w.way)
		if err := c.finish(ctx, w); err != nil {
			return c, fmt.Errorf("%s: %w", w.way, err)
		}
	}
	return c, nil
}

// begin makes a world with everything blocked.
func (p costPlan) begin(ctx context.Context, o options, by way) (w *world, first cost, err error) {
	w, err = newWorld(ctx, o, setting{link: p.link, way: by, frequency: quickFrequency, debounce: quickDebounce})
	if err != nil {
		return nil, cost{}, err
	}
	if _, err = w.receive(ctx, p.bans, perLarge); err == nil {
		// Configured again, it does not wait as long as after so many failures.
		err = w.configure(ctx, nil)
	}
	if err == nil {
		first, err = w.firstFlush(ctx)
	}
	if err != nil {
		w.close()
		return nil, cost{}, err
	}
	return w, first, nil
}

// try measures one more ban and its end. The ban lasts until its flush is
// over, going by those before.
func (c *costs) try(ctx context.Context, w *world) error {
	of := &c.of[w.way]
	flush := of[firstOfAll][0].wall * 11 / 5 // whole files move once in it, and twice in others
	if len(of[oneMore]) > 0 {
		flush = slices.Max(walls(of[oneMore])) * 3 / 2
	}
	more, ended, told, err := w.oneMoreAndItsEnd(ctx, 1500*time.Millisecond+flush)
	if err != nil {
		return err
	}
	of[oneMore] = append(of[oneMore], more)
	if told {
		of[oneEnded] = append(of[oneEnded], ended)
	}
	return nil
}

// finish measures what is tried once.
func (c *costs) finish(ctx context.Context, w *world) error {
	of := &c.of[w.way]
	if len(of[oneEnded]) == 0 {
		return errors.New("this machine is too slow to tell the flush of a ban from that of its end")
	}
	anew, err := w.reassert(ctx, of[firstOfAll][0].ended)
	if err != nil {
		return fmt.Errorf("re-assert: %w", err)
	}
	more, err := w.more(ctx, 1000)
	if err != nil {
		return fmt.Errorf("1,000 more bans: %w", err)
	}
	of[everythingAnew], of[thousandMore] = []cost{anew}, []cost{more}
	return nil
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
