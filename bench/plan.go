package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// plan is what a run measures.
type plan struct {
	sizes   []size
	costs   []costPlan
	alert   int // bans in the one large alert
	lists   []listPlan
	batches batchPlan
}

// size is what is measured over loopback with so many bans in force.
type size struct {
	bans  int
	lone  int           // how many lone bans are tried
	storm time.Duration // how long a storm lasts
}

// costPlan is how often flushes are measured with so many bans in force.
type costPlan struct {
	bans  int
	link  snstest.Link
	tries [ways]int
}

// batchPlan is what is measured of several new bans at once.
type batchPlan struct {
	bans    int // in force before
	numbers []int
	tries   int
}

// emulated is the network that is measured beside loopback.
var emulated = snstest.Link{BitsPerSecond: 20_000_000, RoundTrip: 20 * time.Millisecond}

// patientTries is how often a flush is tried that takes a quarter of a minute.
const patientTries = 2

func (o options) plan() (plan, error) {
	p := plan{alert: 100_000, lists: []listPlan{{most, 1}, {most, 3}}, batches: batchPlan{bans: 10_000, numbers: []int{8, 16, 32, 64, 128}, tries: 3}}
	lone, storm, tries := 20, 20*time.Second, 5
	alone, totals := []int{0, 10_000, 100_000, 300_000}, []int{1_000, 10_000, 100_000, 300_000}
	if o.quick {
		p.alert, p.lists, p.batches = 10_000, []listPlan{{10_000, 1}, {1_000, 3}}, batchPlan{bans: 1_000, numbers: []int{8, 32}, tries: 1}
		lone, storm, tries = 5, 5*time.Second, 2
		alone, totals = []int{10_000}, []int{1_000, 10_000}
	}
	if o.totals != "" {
		chosen, err := numbers(o.totals)
		if err != nil {
			return plan{}, err
		}
		alone, totals = chosen, slices.DeleteFunc(slices.Clone(chosen), func(n int) bool { return n == 0 })
	}
	for _, bans := range alone {
		p.sizes = append(p.sizes, size{bans, lone, storm})
	}
	for _, bans := range totals {
		for _, link := range []snstest.Link{{}, emulated} {
			c := costPlan{bans: bans, link: link, tries: [ways]int{tries, tries}}
			if bans >= 300_000 && link == emulated {
				c.tries[wholeFiles] = min(tries, patientTries)
			}
			p.costs = append(p.costs, c)
		}
	}
	return p, nil
}

// numbers reads numbers from small to large.
func numbers(text string) ([]int, error) {
	var list []int
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 0 || n > maxBans/2 {
			return nil, fmt.Errorf("-totals %s: %q is not a number from 0 to %s", text, word, grouped(maxBans/2))
		}
		list = append(list, n)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// measured is what came of a plan.
type measured struct {
	sizes   []atSize
	costs   []costs
	alert   bigAlert
	lists   []list
	batches []batches
}

func (p plan) measure(ctx context.Context, o options) (m measured, err error) {
	for _, s := range p.sizes {
		came, err := s.measure(ctx, o)
		if err != nil {
			return m, fmt.Errorf("with %s bans in force: %w", grouped(s.bans), err)
		}
		m.sizes = append(m.sizes, came)
	}
	if m.alert, err = measureAlert(ctx, o, p.alert); err != nil {
		return m, fmt.Errorf("an alert of %s: %w", grouped(p.alert), err)
	}
	for _, l := range p.lists {
		came, err := l.measure(ctx, o)
		if err != nil {
			return m, fmt.Errorf("a list of %s: %w", l, err)
		}
		m.lists = append(m.lists, came)
	}
	for _, link := range []snstest.Link{{}, emulated} {
		came, err := p.batches.measure(ctx, o, link)
		if err != nil {
			return m, fmt.Errorf("several bans at once, over %s: %w", network(link), err)
		}
		m.batches = append(m.batches, came)
	}
	for _, c := range p.costs {
		came, err := c.measure(ctx, o)
		if err != nil {
			return m, fmt.Errorf("flushes with %s bans in force over %s: %w", grouped(c.bans), network(c.link), err)
		}
		m.costs = append(m.costs, came)
	}
	return m, nil
}
