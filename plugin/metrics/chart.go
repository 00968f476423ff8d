package metrics

import (
	"fmt"
	"strings"
	"time"

	"notification-stormshield/plugin/health"
	"notification-stormshield/plugin/ledger"
)

const (
	chartSpan = 24 * time.Hour
	// widestStep is the longest time between two samples that the line joins. There is a sample each five minutes.
	widestStep = 11 * time.Minute
	// The drawing has these units. The page stretches it to its own width.
	chartWidth, chartHeight = 1000.0, 200.0
)

// chart draws the bans in force of the last 24 hours.
type chart struct {
	Line, Area string     // paths
	Gaps       []chartGap // where no sample exists
	Top        int        // the value at the upper edge
	Text       string     // the chart in words
}

type chartGap struct{ X, Width float64 }

// newChart draws the history of a view. Its last point is the number of this moment.
func newChart(v view, now time.Time) chart {
	history := append(v.History[:len(v.History):len(v.History)], ledger.Sample{At: now, InForce: v.Report.InForce})
	lowest, highest := history[0].InForce, 0
	for _, s := range history {
		lowest, highest = min(lowest, s.InForce), max(highest, s.InForce)
	}
	c := chart{Top: roundUp(highest + highest/20)}
	begin := now.Add(-chartSpan)
	var missing time.Duration
	var line, area strings.Builder
	last := begin
	for i := 0; i < len(history); {
		if gap := history[i].At.Sub(last); gap > widestStep {
			missing += gap
			c.Gaps = append(c.Gaps, chartGap{xOf(last, begin), xOf(history[i].At, begin) - xOf(last, begin)})
		}
		first := history[i].At
		fmt.Fprintf(&line, "M%.1f %.1f", xOf(first, begin), c.yOf(history[i]))
		fmt.Fprintf(&area, "M%.1f %.1f", xOf(first, begin), chartHeight)
		for last = first; i < len(history) && history[i].At.Sub(last) <= widestStep; i++ {
			last = history[i].At
			fmt.Fprintf(&line, "L%.1f %.1f", xOf(last, begin), c.yOf(history[i])) // a lone sample is a dot
			fmt.Fprintf(&area, "L%.1f %.1f", xOf(last, begin), c.yOf(history[i]))
		}
		fmt.Fprintf(&area, "L%.1f %.1fZ", xOf(last, begin), chartHeight)
	}
	c.Line, c.Area = line.String(), area.String()
	c.Text = fmt.Sprintf("%s now; lowest %s, highest %s.", formatNumber(v.Report.InForce), formatNumber(lowest), formatNumber(highest))
	if missing > 0 {
		c.Text += fmt.Sprintf(" No samples for %s, such as while the plugin did not run.", health.FormatDuration(missing))
	}
	return c
}

// xOf returns where a time is in the drawing.
func xOf(at, begin time.Time) float64 {
	return min(max(0, chartWidth*float64(at.Sub(begin))/float64(chartSpan)), chartWidth)
}

// yOf returns where the number of a sample is in the drawing.
func (c chart) yOf(s ledger.Sample) float64 {
	return chartHeight * (1 - float64(s.InForce)/float64(c.Top))
}

// Middle is the value in the middle of the chart.
func (c chart) Middle() int { return c.Top / 2 }

// roundUp returns the next number that is round, and whose half is whole.
func roundUp(n int) int {
	for magnitude := 1; ; magnitude *= 10 {
		for _, digit := range []int{2, 4, 6, 8, 10, 12, 16} {
			if top := digit * magnitude; top >= n {
				return top
			}
		}
	}
}
