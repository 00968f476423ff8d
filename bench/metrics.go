package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// scrapeEvery is far more often than a Prometheus scrapes.
const scrapeEvery = time.Second

// metricsPlan compares plugins whose metrics are scraped with plugins that serve none.
type metricsPlan struct {
	bans         int           // that a Local API lists
	pairs        int           // of plugins: one with metrics, and one without
	storms       int           // of each plugin
	duration     time.Duration // of a storm
	lone         int           // the number of lone bans of each plugin
	requests     int           // of each path
	whilePending int           // scrapes while everything is pending
}

// compared is a figure that the plan compares.
type compared int

const (
	readingList compared = iota
	firstFlush
	memory
	notifyMedian
	notifyP99
	loneBan
	oneMoreBan
	allCompared
)

func (c compared) String() string {
	return [...]string{
		"reading the Local API's full list", "the first flush", "peak of the plugin's memory until then", "Notify in a storm, p50", "Notify in a storm, p99",
		"a lone ban, from Notify's answer to the entry", "one more ban",
	}[c]
}

// comparison has the figures of pairs, with metrics off and on.
type comparison struct{ off, on []float64 }

// ratios has one ratio of each pair. More than 1 is a cost of the metrics.
func (c comparison) ratios() []float64 {
	ratios := make([]float64, 0, len(c.on))
	for i, on := range c.on {
		ratios = append(ratios, on/c.off[i])
	}
	return ratios
}

// metricsCost is the result of a plan.
type metricsCost struct {
	metricsPlan
	of            [allCompared]comparison
	scrapes, page requests        // of a plugin with nothing to do
	pending       requests        // scrapes while every ban is pending
	beside        []time.Duration // of the scrapes while the plugin worked
}

// requests is the result of requests of one path, one after the other.
type requests struct {
	took []time.Duration
	size int64 // of the longest answer, uncompressed
}

// measure measures each figure of all plugins in turn, so that other load on the machine affects those with metrics and those
// without. Every second pair begins with the plugin with metrics.
func (p metricsPlan) measure(ctx context.Context, o options) (c metricsCost, err error) {
	progress("metrics on and off, a Local API that lists %s bans", grouped(p.bans))
	c.metricsPlan = p
	var harnesses []*harness
	defer func() {
		for _, h := range harnesses {
			h.close()
		}
	}()
	for i := range 2 * p.pairs {
		s := normal
		s.metrics = i%4 == 1 || i%4 == 2
		h, err := c.follow(ctx, o, s)
		if err != nil {
			return c, err
		}
		harnesses = append(harnesses, h)
	}
	for _, part := range []struct {
		name    string
		setting setting
		tries   int
		measure func(context.Context, *harness) error
	}{
		{"storms", normal, p.storms, c.storm},
		{"lone bans", setting{frequency: spaced.frequency, debounce: normal.debounce}, p.lone, c.loneBan},
	} {
		progress("  %s", part.name)
		for _, h := range harnesses {
			if err := h.pace(ctx, part.setting); err != nil {
				return c, err
			}
		}
		for range part.tries {
			for _, h := range harnesses {
				if err := h.beingScraped(ctx, func() error { return part.measure(ctx, h) }); err != nil {
					return c, err
				}
			}
		}
	}
	progress("  scrapes and the status page")
	for _, h := range harnesses {
		c.beside = append(c.beside, h.scrapes...)
	}
	h := harnesses[slices.IndexFunc(harnesses, func(h *harness) bool { return h.metrics })]
	for range p.requests {
		if err := errors.Join(c.scrapes.add(ctx, h.scrape), c.page.add(ctx, h.page)); err != nil {
			return c, err
		}
	}
	return c, c.scrapePending(ctx, o)
}

// scrapePending scrapes a plugin whose appliance has none of the bans yet.
func (c *metricsCost) scrapePending(ctx context.Context, o options) error {
	progress("  scrapes while everything is pending")
	s := normal
	s.metrics = true
	h, err := newHarness(ctx, o, s)
	if err != nil {
		return err
	}
	defer h.close()
	if _, err := h.receive(ctx, c.bans, perLarge); err != nil {
		return err
	}
	for range c.whilePending {
		if err := c.pending.add(ctx, h.scrape); err != nil {
			return err
		}
	}
	return nil
}

func (c *metricsCost) add(h *harness, which compared, value float64) {
	of := &c.of[which].off
	if h.metrics {
		of = &c.of[which].on
	}
	*of = append(*of, value)
}

// follow makes a plugin that reads a Local API's list and blocks it.
func (c *metricsCost) follow(ctx context.Context, o options, s setting) (*harness, error) {
	h, l, err := listPlan{c.bans, 1}.follow(ctx, o, s)
	if err != nil {
		return nil, err
	}
	c.add(h, readingList, l.read.Seconds())
	c.add(h, firstFlush, l.first.Seconds())
	c.add(h, memory, float64(l.peak))
	return h, nil
}

func (c *metricsCost) storm(ctx context.Context, h *harness) error {
	if err := h.waitForFrequency(ctx); err != nil {
		return err
	}
	s, err := h.runStorm(ctx, c.duration)
	if err != nil {
		return err
	}
	c.add(h, notifyMedian, median(s.took).Seconds())
	c.add(h, notifyP99, quantile(s.took, 0.99).Seconds())
	return nil
}

func (c *metricsCost) loneBan(ctx context.Context, h *harness) error {
	latency, flush, err := h.loneBan(ctx)
	if err != nil {
		return err
	}
	c.add(h, loneBan, latency.Seconds())
	c.add(h, oneMoreBan, flush.wall.Seconds())
	return nil
}

// pace sets update_frequency and debounce. The plugin then follows no Local API.
func (h *harness) pace(ctx context.Context, s setting) error {
	h.frequency, h.debounce = s.frequency, s.debounce
	h.Configuration.UpdateFrequency, h.Configuration.Debounce = s.frequency, s.debounce
	err := h.configure(ctx, unchanged)
	h.nextFlush = time.Now().Add(s.frequency) // a plugin that starts again asks for a flush, which a new ban would join
	return err
}

// beingScraped calls a function. While it runs, and if the plugin serves metrics, they are scraped each second.
func (h *harness) beingScraped(ctx context.Context, call func() error) error {
	if !h.metrics {
		return call()
	}
	scraping, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- h.scrapeEachSecond(scraping) }()
	err := call()
	stop()
	if scraped := <-ended; err == nil {
		err = scraped
	}
	return err
}

// scrapeEachSecond scrapes until the context ends. It begins at a random moment, because a debounce of 1s would otherwise put each
// flush beside a scrape. A plugin that starts again on its state listens a moment later.
func (h *harness) scrapeEachSecond(ctx context.Context) error {
	const mostRefused = 5
	var refused []error
	_ = plugintest.Pause(ctx, rand.N(scrapeEvery))
	for ctx.Err() == nil {
		start := time.Now()
		if took, _, err := h.get(ctx, "/metrics"); err == nil {
			h.scrapes, refused = append(h.scrapes, took), nil
		} else {
			refused = append(refused, err)
		}
		if ctx.Err() == nil && len(refused) == mostRefused {
			return errors.Join(refused...)
		}
		_ = plugintest.Pause(ctx, time.Until(start.Add(scrapeEvery))) // the loop looks at the context
	}
	return nil
}

// scrape scrapes the metrics, and compares them with the number of bans in force.
func (h *harness) scrape(ctx context.Context) (took time.Duration, text string, err error) {
	if took, text, err = h.get(ctx, "/metrics"); err != nil {
		return took, text, err
	}
	inForce := 0.0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "crowdsec_stormshield_bans_in_force{") {
			fields := strings.Fields(line)
			n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				return took, text, fmt.Errorf("read the metrics: %w", err)
			}
			inForce += n
		}
	}
	if int(inForce) != h.banned {
		return took, text, fmt.Errorf("the metrics say that %g bans are in force, and %d are", inForce, h.banned)
	}
	return took, text, nil
}

// get requests a path of the plugin's listener as Prometheus does.
func (h *harness) get(ctx context.Context, path string) (took time.Duration, text string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.Configuration.Prometheus.URL(path), nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,text/html;q=0.5")
	start := time.Now()
	response, err := http.DefaultClient.Do(request) // asks for a compressed answer
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", request.URL, response.Status, body)
	}
	return time.Since(start), string(body), err
}

func (h *harness) page(ctx context.Context) (took time.Duration, text string, err error) {
	return h.get(ctx, "/")
}

// add adds a request for which the plugin reads the state: it reads it for a tenth of the time at most.
func (r *requests) add(ctx context.Context, request func(context.Context) (time.Duration, string, error)) error {
	took, text, err := request(ctx)
	if err != nil {
		return err
	}
	r.took, r.size = append(r.took, took), max(r.size, int64(len(text)))
	return plugintest.Pause(ctx, 11*took)
}
