package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// sharedPlan compares plugins whose state is in PostgreSQL with plugins whose state is in SQLite.
type sharedPlan struct {
	bans     int           // in force
	listed   int           // of the Local API's full list
	pairs    int           // of plugins: one with SQLite, and one with PostgreSQL
	storms   int           // of each plugin
	duration time.Duration // of a storm
	lone     int           // the number of lone bans of each plugin
}

// engineFigure is a figure that the plan compares.
type engineFigure int

const (
	sharedNotifyMedian engineFigure = iota
	sharedNotifyP99
	sharedLoneBan
	sharedOneMore
	sharedFirst
	sharedList
	allShared
)

func (f engineFigure) String() string {
	return [...]string{
		"Notify in a storm, p50", "Notify in a storm, p99", "a lone ban, from Notify's answer to the entry", "one more ban, the flush",
		"the first flush", "reading the Local API's full list",
	}[f]
}

// limit is the target of the figure's ratio. 0: none.
func (f engineFigure) limit() float64 {
	switch f {
	case sharedNotifyMedian:
		return 0
	case sharedNotifyP99:
		return sharedNotifyTarget
	}
	return sharedTarget
}

// sharedCost is the result of a plan. In each comparison, off is SQLite and on is PostgreSQL.
type sharedCost struct {
	sharedPlan
	of [allShared]comparison
}

// measure makes pairs of plugins. It measures both of a pair in turn, so that other load on the machine affects both. Every second
// pair begins with PostgreSQL.
func (p sharedPlan) measure(ctx context.Context, o options) (c sharedCost, err error) {
	c.sharedPlan = p
	server, err := plugintest.NewPostgres(plugintest.PostgresOptions{Fsync: true, Base: o.dir})
	if err != nil {
		return c, err
	}
	defer server.Close()
	for i := range p.pairs {
		progress("SQLite and PostgreSQL, pair %d of %d", i+1, p.pairs)
		engines := [2]*plugintest.Postgres{nil, server}
		if i%2 == 1 {
			engines[0], engines[1] = engines[1], engines[0]
		}
		if err := errors.Join(c.measureBans(ctx, o, engines), c.measureLists(ctx, o, engines)); err != nil {
			return c, err
		}
	}
	return c, nil
}

// measureBans measures a pair with bans of alerts.
func (c *sharedCost) measureBans(ctx context.Context, o options, engines [2]*plugintest.Postgres) (err error) {
	var pair [2]*harness
	defer func() {
		for _, h := range pair {
			if h != nil {
				h.close()
			}
		}
	}()
	for i, server := range engines {
		s := normal
		s.server = server
		progress("  %s: %s bans", s.engine(), grouped(c.bans))
		if pair[i], err = newHarness(ctx, o, s); err != nil {
			return err
		}
		if err := c.firstFlush(ctx, pair[i]); err != nil {
			return fmt.Errorf("%s: %w", s.engine(), err)
		}
	}
	progress("  storms")
	var took [2][]time.Duration
	for range c.storms {
		for i, h := range pair {
			if err := h.waitForFrequency(ctx); err != nil {
				return err
			}
			s, err := h.runStorm(ctx, c.duration)
			if err != nil {
				return fmt.Errorf("%s: %w", h.engine(), err)
			}
			took[i] = append(took[i], s.took...)
		}
	}
	for i, h := range pair {
		c.add(h, sharedNotifyMedian, median(took[i]))
		c.add(h, sharedNotifyP99, quantile(took[i], 0.99))
	}
	progress("  lone bans")
	for _, h := range pair {
		if err := h.pace(ctx, setting{frequency: spaced.frequency, debounce: normal.debounce}); err != nil {
			return err
		}
	}
	var latencies, flushes [2][]time.Duration
	for range c.lone {
		for i, h := range pair {
			latency, flush, err := h.loneBan(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", h.engine(), err)
			}
			latencies[i], flushes[i] = append(latencies[i], latency), append(flushes[i], flush.took)
		}
	}
	for i, h := range pair {
		c.add(h, sharedLoneBan, median(latencies[i]))
		c.add(h, sharedOneMore, median(flushes[i]))
	}
	return nil
}

// firstFlush sends all bans, waits until the state has them, and measures the first flush.
func (c *sharedCost) firstFlush(ctx context.Context, h *harness) error {
	if _, err := h.receive(ctx, c.bans, perLarge); err != nil {
		return err
	}
	if err := h.waitUntilStored(ctx); err != nil {
		return err
	}
	first, err := h.firstFlush(ctx)
	if err == nil {
		c.add(h, sharedFirst, first.took)
	}
	return err
}

// measureLists measures how both of a pair read a list.
func (c *sharedCost) measureLists(ctx context.Context, o options, engines [2]*plugintest.Postgres) error {
	for _, server := range engines {
		s := short
		s.server = server
		progress("  %s: a list of %s", s.engine(), grouped(c.listed))
		if err := c.measureList(ctx, o, s); err != nil {
			return fmt.Errorf("%s: %w", s.engine(), err)
		}
	}
	return nil
}

// measureList measures how a plugin reads a list. A flush may begin while it reads, because the holder of a shared lease looks each second
// what the other machines recorded.
func (c *sharedCost) measureList(ctx context.Context, o options, s setting) error {
	l := list{listPlan: listPlan{c.listed, 1}}
	h, err := l.newHarness(ctx, o, s)
	if err != nil {
		return err
	}
	defer h.close()
	if _, err := l.measureList(ctx, h); err != nil {
		return err
	}
	c.add(h, sharedList, l.read)
	return nil
}

func (c *sharedCost) add(h *harness, f engineFigure, value time.Duration) {
	of := &c.of[f].off
	if h.server != nil {
		of = &c.of[f].on
	}
	*of = append(*of, value.Seconds())
}

// engine is the name of what stores the state.
func (s setting) engine() string {
	if s.server == nil {
		return "SQLite"
	}
	return "PostgreSQL"
}

// shareState configures a database of the setting's server.
func (h *harness) shareState() error {
	database, err := h.server.CreateDatabase()
	if err != nil {
		return err
	}
	h.Configuration.StateURL, h.Configuration.StateMachine = h.server.URL(database), "bench"
	return nil
}

// waitUntilStored waits until the state has every ban. With PostgreSQL that is some time after Notify's answer.
func (h *harness) waitUntilStored(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the state does not have every ban in time"))
	defer cancel()
	file, err := h.WriteConfiguration("*.yaml")
	if err != nil {
		return err
	}
	defer os.Remove(file)
	for {
		text, failed := h.Command(ctx, nil, "status --json", file) // it fails while bans are not enforced
		var status struct {
			InForce int `json:"in_force"`
		}
		start := max(0, strings.IndexByte(text, '{'))
		if err := json.NewDecoder(strings.NewReader(text[start:])).Decode(&status); err == nil && status.InForce == h.banned {
			return nil
		}
		if err := plugintest.Pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%w: %s in force of %s: %w: %.500s", err, grouped(status.InForce), grouped(h.banned), failed, text)
		}
	}
}
