package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/plugintest"
)

// good is a run that exactly reaches every target.
func good() measured {
	m := measured{
		alert: bigAlert{bans: many, answered: alertTarget, peak: alertPeakTarget},
		lists: []list{
			{listPlan: listPlan{most, 1}, peak: listPeakTarget, asked: plugintest.LocalAPIStats{Requests: 2 * rounds, Bytes: 2 * rounds << 10}},
			{listPlan: listPlan{most, 3}, peak: severalTarget},
		},
		costs: example(),
		metrics: metricsCost{
			metricsPlan: metricsPlan{bans: most},
			scrapes:     requests{took: []time.Duration{scrapeTarget}, size: scrapeSizeTarget},
			pending:     requests{took: []time.Duration{time.Hour}},
			page:        requests{took: []time.Duration{pageTarget}, size: 1},
			beside:      []time.Duration{time.Hour},
		},
	}
	m.shared.sharedPlan = sharedPlan{bans: many, listed: most}
	for f := range m.shared.of {
		m.shared.of[f] = comparison{off: []float64{1, 1, 1}, on: []float64{1, max(engineFigure(f).limit(), 1), 9}}
	}
	for i := range m.metrics.of {
		m.metrics.of[i] = comparison{off: []float64{100, 1, 100}, on: []float64{110, 9, 100}}
	}
	for _, bans := range []int{0, many, most} {
		at := atSize{size: size{bans: bans, lone: 1, duration: time.Second}, peakFirst: peakTarget, latencies: []time.Duration{loneTargetMost}}
		at.storm.took, at.received = []time.Duration{notifyTarget}, []time.Duration{1}
		m.sizes = append(m.sizes, at)
	}
	m.sizes[2].peakFirst = peakTargetMost
	return m
}

func TestARunThatEqualsItsTargetsReachesThem(t *testing.T) {
	for _, g := range good().targets() {
		if g.aim != "" && !g.reached {
			t.Errorf("%s with %d: %s misses %s", g.what, g.bans, g.measured, g.aim)
		}
	}
}

func TestEachMissedTargetIsReported(t *testing.T) {
	change := func(i int, k kind, worsen func(*cost)) func(*measured) {
		return func(m *measured) {
			worst := m.costs[i].of[changeOnly][k][0]
			worsen(&worst)
			m.costs[i].of[changeOnly][k] = append(m.costs[i].of[changeOnly][k], worst)
		}
	}
	all := func(i int, worsen func(*cost)) func(*measured) {
		return func(m *measured) { worsen(&m.costs[i].of[changeOnly][oneRange][0]) }
	}
	for name, c := range map[string]struct {
		worsen func(*measured)
		what   string
	}{
		"slow lone ban":                   {func(m *measured) { m.sizes[1].latencies[0] = loneTarget + 1 }, "a lone ban"},
		"slow lone ban with most":         {func(m *measured) { m.sizes[2].latencies[0]++ }, "a lone ban"},
		"slow answer":                     {func(m *measured) { m.sizes[0].storm.took[0]++ }, "Notify at"},
		"memory":                          {func(m *measured) { m.sizes[1].peakFirst++ }, "receiving in alerts"},
		"memory with most":                {func(m *measured) { m.sizes[2].peakFirst++ }, "receiving in alerts"},
		"slow alert":                      {func(m *measured) { m.alert.answered++ }, "Notify of one alert"},
		"memory of the alert":             {func(m *measured) { m.alert.peak++ }, "that alert alone"},
		"memory of the list":              {func(m *measured) { m.lists[0].peak++ }, "full list, first flush"},
		"memory of three decisions a ban": {func(m *measured) { m.lists[1].peak++ }, "900,000 decisions, 3 a ban, first flush"},
		"many requests":                   {func(m *measured) { m.lists[0].asked.Requests += rounds }, "an unchanged Local API"},
		"long answers":                    {func(m *measured) { m.lists[0].asked.Bytes += 2 * rounds }, "an unchanged Local API"},
		"a connection for nothing":        {func(m *measured) { m.lists[0].connections++ }, "an unchanged Local API"},
		"one try with many bytes":         {change(2, oneMore, func(c *cost) { c.api.down++ }), "one more ban: bytes"},
		"one end with many bytes":         {change(3, oneEnded, func(c *cost) { c.ssh.up++ }), "one ended ban: bytes"},
		"an SSH connection":               {change(0, oneMore, func(c *cost) { c.ssh.connections++ }), "one more ban: connections"},
		"a second API connection":         {change(0, reassertion, func(c *cost) { c.api.connections++ }), "a re-assert: connections"},
		"a second login":                  {change(1, oneEnded, func(c *cost) { c.api.logins++ }), "one ended ban: connections"},
		"many bytes without SSH":          {func(m *measured) { m.costs[0].of[withoutSSH][oneMore][0].api.up++ }, "one more ban, without SSH: bytes"},
		"a range with many bytes":         {change(3, oneRange, func(c *cost) { c.ssh.down = rangeTarget }), "one more range: bytes"},
		"large first flush":               {func(m *measured) { m.costs[2].of[changeOnly][first][0].ssh.up = firstTarget + 1 }, "the first flush"},
		"bytes too alike":                 {all(2, func(c *cost) { c.ssh.up = 18_003 - 1_000 }), "fewer bytes"},
		"time too alike on loopback":      {all(2, func(c *cost) { c.wall = 10*time.Second + 1 }), "share of the time (loopback)"},
		"time too alike on the link":      {all(3, func(c *cost) { c.wall = 2*time.Second + 1 }), "share of the time (20 Mbit/s"},
		"a slow scrape":                   {func(m *measured) { m.metrics.scrapes.took[0]++ }, "a scrape of the metrics, p50"},
		"a large scrape":                  {func(m *measured) { m.metrics.scrapes.size++ }, "a scrape of the metrics: bytes"},
		"a slow page":                     {func(m *measured) { m.metrics.page.took[0]++ }, "the status page"},
		"a slow list with metrics":        {func(m *measured) { m.metrics.of[readingList].on[0]++ }, "metrics on against off: reading"},
		"a slow answer with PostgreSQL":   {func(m *measured) { m.shared.of[sharedNotifyP99].on[0] = 2 }, "against SQLite: Notify in a storm, p99"},
		"a slow list with PostgreSQL":     {func(m *measured) { m.shared.of[sharedList].on[0] = 2 }, "against SQLite: reading"},
		"more memory with metrics":        {func(m *measured) { m.metrics.of[memory].off[0]-- }, "metrics on against off: peak"},
	} {
		m := good()
		c.worsen(&m)
		judged := m.targets()
		if !missed(judged) {
			t.Errorf("%s: no target is missed", name)
		}
		if !slices.ContainsFunc(judged, func(g target) bool { return g.aim != "" && !g.reached && strings.Contains(g.what, c.what) }) {
			t.Errorf("%s: no missed line contains %q", name, c.what)
		}
	}
}

func TestMeasurementWithoutTargetIsNeverMissed(t *testing.T) {
	m := good()
	m.alert = bigAlert{bans: 10, answered: time.Hour, peak: 1 << 40}
	m.lists = []list{{listPlan: listPlan{10, 1}, peak: 1 << 40, asked: m.lists[0].asked}, {listPlan: listPlan{10, 3}, peak: 1 << 40}}
	m.costs = m.costs[:2]
	m.costs[0].of[changeOnly][oneRange][0].ssh.up = 1 << 40
	m.sizes[0].peak = 1 << 40
	m.shared.bans, m.shared.of[sharedFirst].on = 10, []float64{9, 9, 9}
	m.metrics.bans, m.metrics.page.took = many, []time.Duration{time.Hour}
	if missed(m.targets()) {
		t.Error("a measurement without target is missed")
	}
}
