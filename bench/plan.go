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

// plan is everything that a run measures.
type plan struct {
	sizes   []size
	costs   []costPlan
	alert   int // bans in the one large alert
	lists   []listPlan
	batches batchPlan
	metrics metricsPlan
	shared  sharedPlan
}

// size is for measurements over loopback with a number of bans in force.
type size struct {
	bans     int
	lone     int           // the number of lone bans
	duration time.Duration // of a storm
}

// costPlan is for the costs of flushes with a number of bans in force.
type costPlan struct {
	bans  int
	tries [ways]int
}

// batchPlan is for several new bans at once.
type batchPlan struct {
	bans    int // in force before
	numbers []int
	tries   int
}

// emulated is the network beside loopback.
var emulated = snstest.Link{BitsPerSecond: 20_000_000, RoundTrip: 20 * time.Millisecond}

// links are the networks.
var links = []snstest.Link{{}, emulated}

func (o options) plan() (plan, error) {
	if o.only != "" && !slices.Contains(parts, o.only) {
		return plan{}, fmt.Errorf("-only %s: there is %s", o.only, strings.Join(parts, ", "))
	}
	p := plan{alert: 100_000, lists: []listPlan{{most, 1}, {most, 3}}, batches: batchPlan{bans: 10_000, numbers: []int{8, 16, 32, 64, 128}, tries: 3},
		metrics: metricsPlan{bans: most, pairs: 5, storms: 3, duration: 2 * time.Second, lone: 7, requests: 100, whilePending: 10},
		shared:  sharedPlan{bans: many, listed: most, pairs: 5, storms: 5, duration: 10 * time.Second, lone: 7}}
	lone, duration, tries := 20, 20*time.Second, 3
	sizes, totals, apiTotals := []int{0, 10_000, 100_000, 300_000}, []int{1_000, 10_000, 100_000, 300_000}, []int{1_000, mostWithoutSSH}
	if o.quick {
		p.alert, p.lists, p.batches = 10_000, []listPlan{{10_000, 1}, {1_000, 3}}, batchPlan{bans: 1_000, numbers: []int{8, 32}, tries: 1}
		p.metrics = metricsPlan{bans: 10_000, pairs: 1, storms: 1, duration: 2 * time.Second, lone: 1, requests: 50, whilePending: 5}
		p.shared = sharedPlan{bans: 10_000, listed: 10_000, pairs: 1, storms: 1, duration: 2 * time.Second, lone: 1}
		lone, duration, tries = 5, 5*time.Second, 2
		sizes, totals, apiTotals = []int{10_000}, []int{1_000, 10_000}, []int{1_000}
	}
	if o.totals != "" {
		chosen, err := numbers(o.totals)
		if err != nil {
			return plan{}, err
		}
		sizes, totals = chosen, slices.DeleteFunc(slices.Clone(chosen), func(n int) bool { return n == 0 })
		apiTotals = slices.DeleteFunc(slices.Clone(totals), func(n int) bool { return n > mostWithoutSSH })
	}
	for _, bans := range sizes {
		p.sizes = append(p.sizes, size{bans, lone, duration})
	}
	for _, bans := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(totals, apiTotals)))) {
		c := costPlan{bans: bans}
		if slices.Contains(totals, bans) {
			c.tries[wholeFiles], c.tries[changeOnly] = tries, tries
		}
		if slices.Contains(apiTotals, bans) {
			c.tries[withoutSSH] = tries
		}
		p.costs = append(p.costs, c)
	}
	return p, nil
}

// numbers parses numbers and sorts them.
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

// measured is the result of a plan.
type measured struct {
	sizes   []atSize
	costs   []costs
	alert   bigAlert
	lists   []list
	batches []batches
	metrics metricsCost
	shared  sharedCost
}

// parts are the names that -only accepts, in the order of measure.
var parts = []string{"sizes", "alert", "lists", "batches", "metrics", "shared", "costs"}

func (p plan) measure(ctx context.Context, o options) (m measured, err error) {
	measures := map[string]func() error{
		"sizes": func() error {
			for _, s := range p.sizes {
				result, err := s.measure(ctx, o)
				if err != nil {
					return fmt.Errorf("with %s bans in force: %w", grouped(s.bans), err)
				}
				m.sizes = append(m.sizes, result)
			}
			return nil
		},
		"alert": func() (err error) {
			m.alert, err = measureAlert(ctx, o, p.alert)
			return err
		},
		"lists": func() error {
			for _, l := range p.lists {
				result, err := l.measure(ctx, o)
				if err != nil {
					return fmt.Errorf("a list of %s: %w", l, err)
				}
				m.lists = append(m.lists, result)
			}
			return nil
		},
		"batches": func() (err error) {
			m.batches, err = p.batches.measure(ctx, o)
			return err
		},
		"metrics": func() (err error) {
			m.metrics, err = p.metrics.measure(ctx, o)
			return err
		},
		"shared": func() (err error) {
			m.shared, err = p.shared.measure(ctx, o)
			return err
		},
		"costs": func() error {
			for _, c := range p.costs {
				result, err := c.measure(ctx, o)
				if err != nil {
					return fmt.Errorf("flushes with %s bans in force: %w", grouped(c.bans), err)
				}
				m.costs = append(m.costs, result...)
			}
			return nil
		},
	}
	for _, part := range parts {
		if o.only != "" && o.only != part {
			continue
		}
		if err := measures[part](); err != nil {
			return m, fmt.Errorf("%s: %w", part, err)
		}
	}
	return m, nil
}
