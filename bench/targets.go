package main

import (
	"fmt"
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

	oneBanTarget = 16 << 10  // bytes over SSH, both ways, for one more or one ended ban
	firstTarget  = 2_500_000 // bytes up over SSH, for the first flush of 100,000

	// The change alone against whole files, for one more ban among 100,000.
	lessTarget     = 500 // times fewer bytes over SSH
	loopbackTarget = 0.5 // of the time
	linkTarget     = 0.1

	many, most = 100_000, 300_000
)

// target is a line of what was measured, and of what was aimed at.
type target struct {
	what     string
	bans     int
	measured string
	aim      string // "": none
	reached  bool
}

// missed says whether a target was.
func missed(targets []target) bool {
	return slices.ContainsFunc(targets, func(t target) bool { return t.aim != "" && !t.reached })
}

// targets judges. The lines come in the order of what they are about, each
// with all its numbers of bans.
func (m measured) targets() []target {
	var all []target
	for _, about := range []func(atSize) (target, bool){lone, answers, receiving, peakOfFirst, peakOfAll} {
		for _, s := range m.sizes {
			if t, ok := about(s); ok {
				all = append(all, t)
			}
		}
	}
	all = append(all, m.alert.targets()...)
	for _, l := range m.lists {
		all = append(all, l.targets()...)
	}
	all = append(all, smallFlushes(m.costs)...)
	for _, about := range []func(costs) []target{firstFlush, compared} {
		for _, c := range m.costs {
			all = append(all, about(c)...)
		}
	}
	return all
}

func lone(s atSize) (target, bool) {
	limit := loneTarget
	if s.bans >= most {
		limit = loneTargetMost
	}
	p50, p95 := median(s.latencies), quantile(s.latencies, 0.95)
	return target{
		what: fmt.Sprintf("a lone ban, from Notify's answer to the entry (debounce %s), p50 / p95 of %d", debounce, len(s.latencies)),
		bans: s.bans, measured: spread(seconds(p50), seconds(p95)), aim: "p95 ≤ " + seconds(limit), reached: p95 <= limit,
	}, true
}

func answers(s atSize) (target, bool) {
	took := s.inStorm.took
	p50, p99 := median(took), quantile(took, 0.99)
	return target{
		what: fmt.Sprintf("Notify at %d alerts a second for %s, p50 / p99 / most (%d flushes meanwhile)", perSecond, s.storm, s.inStorm.flushes),
		bans: s.bans, measured: spread(millis(p50), millis(p99), millis(slices.Max(took))),
		aim: "p99 ≤ " + millis(notifyTarget), reached: p99 <= notifyTarget,
	}, true
}

func receiving(s atSize) (target, bool) {
	if s.bans < perAlert {
		return target{}, false
	}
	return target{
		what: fmt.Sprintf("Notify of an alert with %s decisions, p50 / most of %d", grouped(perAlert), len(s.received)),
		bans: s.bans, measured: spread(millis(median(s.received)), millis(slices.Max(s.received))),
	}, true
}

func peakOfFirst(s atSize) (target, bool) {
	limit := int64(peakTarget)
	if s.bans >= most {
		limit = peakTargetMost
	}
	return target{
		what: fmt.Sprintf("peak of the plugin's memory: receiving in alerts of %s, first flush", grouped(perAlert)),
		bans: s.bans, measured: bytes(s.peakFirst), aim: "≤ " + bytes(limit), reached: s.peakFirst <= limit,
	}, true
}

func peakOfAll(s atSize) (target, bool) {
	return target{what: "the same, with every lone ban and the storm", bans: s.bans, measured: bytes(s.peak)}, true
}

// targets are for 100,000 bans; fewer are only told of.
func (a bigAlert) targets() []target {
	answered := target{what: "Notify of one alert with that many decisions", bans: a.bans, measured: seconds(a.answered)}
	peak := target{what: "peak of the plugin's memory: receiving that alert alone, first flush", bans: a.bans, measured: bytes(a.peak)}
	if a.bans >= many {
		answered.aim, answered.reached = "≤ "+seconds(alertTarget), a.answered <= alertTarget
		peak.aim, peak.reached = "≤ "+bytes(alertPeakTarget), a.peak <= alertPeakTarget
	}
	return []target{answered, peak}
}

// smallFlushes judges every try of one more and one ended ban, over both
// networks.
func smallFlushes(all []costs) []target {
	var judged []target
	numbers := column(all, func(c costs) int { return c.bans })
	for _, k := range []kind{oneMore, oneEnded} {
		for _, bans := range slices.Compact(slices.Sorted(slices.Values(numbers))) {
			var tries []cost
			for _, c := range all {
				if c.bans == bans {
					tries = append(tries, c.of[changeOnly][k]...)
				}
			}
			judged = append(judged, smallFlush(k, bans, tries)...)
		}
	}
	return judged
}

func smallFlush(k kind, bans int, tries []cost) []target {
	largest := slices.Max(column(tries, cost.ssh))
	size := target{
		what: fmt.Sprintf("%s: bytes over SSH, up and down, the most of %d", k, len(tries)),
		bans: bans, measured: bytes(largest),
	}
	if bans == many || bans == most {
		size.aim, size.reached = "≤ 16 KiB", largest <= oneBanTarget
	}
	connections := slices.Max(column(tries, func(c cost) int { return c.connections }))
	logins := slices.Max(column(tries, func(c cost) int { return c.logins }))
	return []target{size, {
		what: fmt.Sprintf("%s: SSH connections / API log-ins, the most of %d", k, len(tries)),
		bans: bans, measured: fmt.Sprintf("%d / %d", connections, logins), aim: "1 / 1", reached: connections == 1 && logins == 1,
	}}
}

func firstFlush(c costs) []target {
	if c.bans != many {
		return nil
	}
	up := c.of[changeOnly][firstOfAll][0].sshUp
	return []target{{
		what: fmt.Sprintf("the first flush: bytes up over SSH (%s)", network(c.link)), bans: c.bans,
		measured: bytes(up), aim: "≤ " + bytes(firstTarget), reached: up <= firstTarget,
	}}
}

// compared sets the change alone against whole files.
func compared(c costs) []target {
	if c.bans != many {
		return nil
	}
	whole, change := typical(c.of[wholeFiles][oneMore]), typical(c.of[changeOnly][oneMore])
	limit := loopbackTarget
	if c.link != (snstest.Link{}) {
		limit = linkTarget
	}
	less, share := float64(whole.ssh())/float64(change.ssh()), float64(change.wall)/float64(whole.wall)
	return []target{{
		what: fmt.Sprintf("one more ban, the change alone against whole files: how many times fewer bytes over SSH (%s)", network(c.link)),
		bans: c.bans, measured: fmt.Sprintf("%.1f", less), aim: fmt.Sprintf("≥ %d", lessTarget), reached: less >= lessTarget,
	}, {
		what: fmt.Sprintf("one more ban, the change alone against whole files: share of the time (%s)", network(c.link)),
		bans: c.bans, measured: fmt.Sprintf("%.3f", share), aim: fmt.Sprintf("≤ %g", limit), reached: share <= limit,
	}}
}
