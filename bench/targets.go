package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// The targets. 1 MB is 1,000,000 bytes.
const (
	loneTarget      = 1500 * time.Millisecond // at p95, with a debounce of 1s
	loneTargetMost  = 1300 * time.Millisecond // the same with the most bans
	notifyTarget    = 50 * time.Millisecond   // at p99
	alertTarget     = 2 * time.Second         // to answer an alert of 100,000
	alertPeakTarget = 160_000_000
	peakTarget      = 64_000_000
	peakTargetMost  = 128_000_000 // with the most bans
	listPeakTarget  = 128_000_000 // with the most bans, of the Local API's list
	severalTarget   = 192_000_000 // the same with several decisions a ban

	smallTarget = 8_000     // bytes of API and SSH together, both directions, for one more or one ended ban
	rangeTarget = 16 << 10  // bytes over SSH, both directions, for one more range
	firstTarget = 2_500_000 // bytes up over SSH, for the first flush of 100,000

	// The change alone against whole files, for one more range among 100,000.
	lessTarget     = 500 // times fewer bytes over SSH
	loopbackTarget = 0.5 // of the time
	linkTarget     = 0.1

	scrapeTarget     = 50 * time.Millisecond // at p99
	scrapeSizeTarget = 100_000               // uncompressed
	pageTarget       = 100 * time.Millisecond
	metricsTarget    = 1.10 // with metrics against without

	sharedNotifyTarget = 1.10 // PostgreSQL against SQLite
	sharedTarget       = 1.5

	many, most     = 100_000, 300_000
	mostWithoutSSH = 2_000 // without SSH: the default of max_bans
)

// target is a line of the report: a measurement, and its target.
type target struct {
	what     string
	bans     int
	measured string
	aim      string // "": none
	reached  bool
}

// missed reports whether a target was missed.
func missed(targets []target) bool {
	return slices.ContainsFunc(targets, func(t target) bool { return t.aim != "" && !t.reached })
}

// report is the list of all measurements.
type report []target

func (r *report) add(bans int, measured, what string, args ...any) {
	*r = append(*r, target{what: fmt.Sprintf(what, args...), bans: bans, measured: measured})
}

// judge adds a target to the latest measurement.
func (r report) judge(reached bool, aim string) {
	latest := &r[len(r)-1]
	latest.aim, latest.reached = aim, reached
}

// targets returns the report: the lines of one measurement, for all numbers of
// bans, stand together.
func (m measured) targets() []target {
	var r report
	r.addSizes(m.sizes)
	if m.alert.bans > 0 {
		r.addAlert(m.alert)
	}
	for _, l := range m.lists {
		r.addList(l)
	}
	for _, k := range []kind{oneMore, oneEnded, reassertion} {
		r.addWithoutSSH(m.costs, k, changeOnly)
		r.addWithoutSSH(m.costs, k, withoutSSH)
	}
	r.addComparison(m.costs)
	if m.metrics.bans > 0 && len(m.metrics.pending.took) > 0 {
		r.addMetrics(m.metrics)
	}
	if m.shared.bans > 0 {
		r.addShared(m.shared)
	}
	return r
}

func (r *report) addSizes(sizes []atSize) {
	for _, s := range sizes {
		limit := loneTarget
		if s.bans >= most {
			limit = loneTargetMost
		}
		p50, p95 := median(s.latencies), quantile(s.latencies, 0.95)
		r.add(s.bans, spread(seconds(p50), seconds(p95)), "a lone ban, from Notify's answer to the entry (debounce %s), p50 / p95 of %d", normal.debounce, len(s.latencies))
		r.judge(p95 <= limit, "p95 ≤ "+seconds(limit))
	}
	for _, s := range sizes {
		took := s.storm.took
		p50, p99 := median(took), quantile(took, 0.99)
		r.add(s.bans, spread(millis(p50), millis(p99), millis(slices.Max(took))),
			"Notify at %d alerts a second for %s, p50 / p99 / most (%d flushes meanwhile)", perSecond, s.duration, s.storm.flushes)
		r.judge(p99 <= notifyTarget, "p99 ≤ "+millis(notifyTarget))
	}
	for _, s := range sizes {
		if s.bans >= perAlert {
			r.add(s.bans, spread(millis(median(s.received)), millis(slices.Max(s.received))),
				"Notify of an alert with %s decisions, p50 / most of %d", grouped(perAlert), len(s.received))
		}
	}
	for _, s := range sizes {
		limit := int64(peakTarget)
		if s.bans >= most {
			limit = peakTargetMost
		}
		r.add(s.bans, bytes(s.peakFirst), "peak of the plugin's memory: receiving in alerts of %s, first flush", grouped(perAlert))
		r.judge(s.peakFirst <= limit, "≤ "+bytes(limit))
	}
	for _, s := range sizes {
		r.add(s.bans, bytes(s.peak), "the same, with every lone ban and the storm")
	}
}

// addAlert judges an alert of 100,000 bans.
func (r *report) addAlert(a bigAlert) {
	r.add(a.bans, seconds(a.answered), "Notify of one alert with that many decisions")
	if a.bans >= many {
		r.judge(a.answered <= alertTarget, "≤ "+seconds(alertTarget))
	}
	r.add(a.bans, bytes(a.peak), "peak of the plugin's memory: receiving that alert alone, first flush")
	if a.bans >= many {
		r.judge(a.peak <= alertPeakTarget, "≤ "+bytes(alertPeakTarget))
	}
}

// addList judges the memory for the most bans.
func (r *report) addList(l list) {
	which, limit := "the Local API's full list", int64(listPeakTarget)
	if l.decisions > 1 {
		which, limit = fmt.Sprintf("a full list of %s decisions, %d a ban", grouped(l.bans*l.decisions), l.decisions), severalTarget
	}
	r.add(l.bans, seconds(l.read), "reading %s into the state", which)
	r.add(l.bans, bytes(l.peak), "peak of the plugin's memory: reading %s, first flush", which)
	if l.bans >= most {
		r.judge(l.peak <= limit, "≤ "+bytes(limit))
	}
	if l.decisions > 1 {
		return
	}
	size := l.asked.Bytes / int64(max(l.asked.Requests, 1))
	r.add(l.bans, fmt.Sprintf("%d, %s / %d", l.asked.Requests, bytes(size), l.connections),
		"an unchanged Local API: requests in %d × update_frequency, bytes of an answer / connections to the appliance", rounds)
	r.judge(float64(l.asked.Requests)/rounds <= 2.2 && l.asked.Requests > 0 && size <= 1<<10 && l.connections == 0, "two each, ≤ 1 KiB / 0")
}

// addWithoutSSH judges every try of a flush that needs no SSH, over both networks.
func (r *report) addWithoutSSH(all []costs, k kind, w way) {
	tries := map[int][]cost{}
	for _, c := range all {
		if of := c.of[w][k]; len(of) > 0 {
			tries[c.bans] = append(tries[c.bans], of...)
		}
	}
	for _, bans := range slices.Sorted(maps.Keys(tries)) {
		of := tries[bans]
		largest := slices.Max(column(of, cost.bytes))
		r.add(bans, bytes(largest), "%s: bytes of API and SSH, up and down, the most of %d", k.by(w), len(of))
		if k != reassertion { // without SSH it reads the whole blacklist
			r.judge(largest <= smallTarget, "≤ "+bytes(smallTarget))
		}
		mostOf := func(measure func(cost) int) int { return slices.Max(column(of, measure)) }
		connections, logins := mostOf(func(c cost) int { return c.api.connections }), mostOf(func(c cost) int { return c.api.logins })
		ssh, sshLogins := mostOf(func(c cost) int { return c.ssh.connections }), mostOf(func(c cost) int { return c.ssh.logins })
		r.add(bans, fmt.Sprintf("%d, %d / %d, %d", connections, logins, ssh, sshLogins),
			"%s: connections and logins of the API / over SSH, the most of %d", k.by(w), len(of))
		r.judge(connections == 1 && logins == 1 && ssh == 0, "1, 1 / 0, 0")
	}
}

// addComparison judges flushes that write the files: the first one, one more range, and the
// change alone against whole files.
func (r *report) addComparison(all []costs) {
	all = slices.DeleteFunc(slices.Clone(all), func(c costs) bool { return len(c.of[changeOnly][oneRange]) == 0 })
	for _, c := range all {
		tries := c.of[changeOnly][oneRange]
		largest := slices.Max(column(tries, func(c cost) int64 { return c.ssh.bytes() }))
		r.add(c.bans, bytes(largest), "%s: bytes over SSH, up and down, the most of %d (%s)", oneRange, len(tries), network(c.link))
		if c.bans >= many {
			r.judge(largest <= rangeTarget, "≤ 16 KiB")
		}
	}
	all = slices.DeleteFunc(all, func(c costs) bool { return c.bans != many })
	for _, c := range all {
		up := c.of[changeOnly][first][0].ssh.up
		r.add(c.bans, bytes(up), "the first flush: bytes up over SSH (%s)", network(c.link))
		r.judge(up <= firstTarget, "≤ "+bytes(firstTarget))
	}
	for _, c := range all {
		whole, change := typical(c.of[wholeFiles][oneRange]), typical(c.of[changeOnly][oneRange])
		limit := loopbackTarget
		if c.link != (snstest.Link{}) {
			limit = linkTarget
		}
		less, share := float64(whole.ssh.bytes())/float64(change.ssh.bytes()), float64(change.wall)/float64(whole.wall)
		const what = "one more range, the change alone against whole files: "
		r.add(c.bans, fmt.Sprintf("%.1f", less), what+"how many times fewer bytes over SSH (%s)", network(c.link))
		r.judge(less >= lessTarget, fmt.Sprintf("≥ %d", lessTarget))
		r.add(c.bans, fmt.Sprintf("%.3f", share), what+"share of the time (%s)", network(c.link))
		r.judge(share <= limit, fmt.Sprintf("≤ %g", limit))
	}
}

// addMetrics judges the metrics, the status page, and what they cost.
func (r *report) addMetrics(c metricsCost) {
	judge := func(reached bool, aim string) {
		if c.bans >= most {
			r.judge(reached, aim)
		}
	}
	add := func(took []time.Duration, what string, args ...any) (p99 time.Duration) {
		p99 = quantile(took, 0.99)
		r.add(c.bans, spread(millis(median(took)), millis(p99), millis(slices.Max(took))),
			"%s, p50 / p99 / most of %d", fmt.Sprintf(what, args...), len(took))
		return p99
	}
	p99 := add(c.scrapes.took, "a scrape of the metrics")
	judge(p99 <= scrapeTarget, "p99 ≤ "+millis(scrapeTarget))
	add(c.pending.took, "a scrape of the metrics while every ban is pending")
	add(c.beside, "a scrape of the metrics each second while the plugin works")
	r.add(c.bans, bytes(c.scrapes.size), "a scrape of the metrics: bytes, uncompressed")
	judge(c.scrapes.size <= scrapeSizeTarget, "≤ "+bytes(scrapeSizeTarget))
	p99 = add(c.page.took, "the status page (%s)", bytes(c.page.size))
	judge(p99 <= pageTarget, "p99 ≤ "+millis(pageTarget))
	for which, pairs := range c.of {
		ratios := pairs.ratios()
		text := func(ratio float64) string { return fmt.Sprintf("%.2f", ratio) }
		r.add(c.bans, spread(text(slices.Min(ratios)), text(median(ratios)), text(slices.Max(ratios))),
			"metrics on against off: %s, least / p50 / most of %d", compared(which), len(ratios))
		if compared(which) != notifyP99 { // a few answers decide it, and other load decides those
			judge(median(ratios) <= metricsTarget, "p50 ≤ "+text(metricsTarget))
		}
	}
}

// addShared judges what a state in PostgreSQL costs.
func (r *report) addShared(c sharedCost) {
	for f, pairs := range c.of {
		f := engineFigure(f)
		if len(pairs.on) == 0 || len(pairs.on) != len(pairs.off) {
			continue
		}
		bans := c.bans
		if f == sharedList {
			bans = c.listed
		}
		ratios := pairs.ratios()
		text := func(ratio float64) string { return fmt.Sprintf("%.2f", ratio) }
		times := func(of []float64) string { return brief(time.Duration(median(of) * float64(time.Second))) }
		r.add(bans, spread(text(slices.Min(ratios)), text(median(ratios)), text(slices.Max(ratios))),
			"PostgreSQL against SQLite: %s (medians %s and %s), least / p50 / most of %d", f, times(pairs.on), times(pairs.off), len(ratios))
		if limit := f.limit(); limit > 0 && c.bans >= many {
			r.judge(median(ratios) <= limit, fmt.Sprintf("p50 ≤ %.2f", limit))
		}
	}
}
