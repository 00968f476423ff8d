package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The targets.
const (
	loneTarget   = 1500 * time.Millisecond // at p95, with a debounce of 1s
	notifyTarget = 50 * time.Millisecond   // at p99
	peakTarget   = 64_000_000              // bytes
)

// table is what is printed. The rows come in the order of its questions, each
// with all its sizes.
type table struct {
	rows   [questions][]row
	missed bool
}

// The questions a benchmark answers.
const (
	askLone = iota
	askNotify
	askReceive
	askFirst
	askMore
	askMemory
	questions
)

type row struct{ what, bans, measured, target, reached string }

// add adds a row without a target.
func (t *table) add(question int, what string, bans int, measured string) {
	t.rows[question] = append(t.rows[question], row{what, grouped(bans), measured, "–", "–"})
}

// judge adds a row with one.
func (t *table) judge(question int, what string, bans int, measured, target string, reached bool) {
	word := "yes"
	if !reached {
		word = "**no**"
		t.missed = true
	}
	t.rows[question] = append(t.rows[question], row{what, grouped(bans), measured, target, word})
}

func (t *table) lone(bans int, latencies []time.Duration) {
	p50, p95 := quantile(latencies, 0.5), quantile(latencies, 0.95)
	t.judge(askLone, fmt.Sprintf("a lone ban, from Notify's answer to the entry (debounce %s), p50 / p95 of %d", debounce, len(latencies)), bans,
		fmt.Sprintf("%s / %s", seconds(p50), seconds(p95)), fmt.Sprintf("p95 ≤ %s", seconds(loneTarget)), p95 <= loneTarget)
}

func (t *table) notify(s size, took []time.Duration, flushes int) {
	p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
	t.judge(askNotify, fmt.Sprintf("Notify at %d alerts a second for %s, p50 / p99 / most (%d flushes meanwhile)", perSecond, s.storm, flushes), s.bans,
		fmt.Sprintf("%s / %s / %s", millis(p50), millis(p99), millis(slices.Max(took))), "p99 ≤ "+millis(notifyTarget), p99 <= notifyTarget)
}

func (t *table) received(bans int, took []time.Duration) {
	t.add(askReceive, fmt.Sprintf("Notify of an alert with %s decisions, p50 / most of %d", grouped(perAlert), len(took)), bans,
		fmt.Sprintf("%s / %s", millis(quantile(took, 0.5)), millis(slices.Max(took))))
}

func (t *table) flushes(bans int, first flush, more []flush) {
	t.add(askFirst, "first flush: time; bytes up / down", bans, first.String())
	slices.SortFunc(more, func(a, b flush) int { return cmp.Compare(a.wall, b.wall) })
	t.add(askMore, fmt.Sprintf("flush of one more ban, the median of %d: time; bytes up / down", len(more)), bans, more[(len(more)-1)/2].String())
}

func (f flush) String() string {
	return fmt.Sprintf("%s; SSH %s / %s; API %s / %s", seconds(f.wall), bytes(f.sshUp), bytes(f.sshDown), bytes(f.apiUp), bytes(f.apiDown))
}

func (t *table) memory(bans int, peak int64) {
	t.judge(askMemory, "peak of the plugin's memory: receiving, first flush, one more", bans, bytes(peak), "≤ "+bytes(peakTarget), peak <= peakTarget)
}

func (t *table) memoryAfterAll(bans int, peak int64) {
	t.add(askMemory, "the same, with every lone ban and the storm", bans, bytes(peak))
}

func (t *table) print() {
	fmt.Println("| What | Bans in force | Measured | Target | Reached |")
	fmt.Println("|---|--:|--:|--:|---|")
	for _, rows := range t.rows {
		for _, r := range rows {
			fmt.Println("| " + strings.Join([]string{r.what, r.bans, r.measured, r.target, r.reached}, " | ") + " |")
		}
	}
}

// quantile is by the nearest rank.
func quantile(values []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// bytes is a number of bytes in decimal units: 1 MB is 1,000,000.
func bytes(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

func grouped(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
