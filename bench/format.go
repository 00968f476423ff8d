package main

import (
	"fmt"
	"strings"
	"time"
)

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// brief is a time in a suitable unit.
func brief(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond && d%time.Millisecond != 0:
		return millis(d)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	case d < 10*time.Second:
		return seconds(d)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// bytes is a number of bytes in decimal units: 1 MB is 1,000,000.
func bytes(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 100_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1_000_000:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// times is a ratio; without one of the values it is a dash.
func times(before, after float64) string {
	switch ratio := before / after; {
	case after <= 0 || before <= 0:
		return "–"
	case ratio >= 100:
		return fmt.Sprintf("%s×", grouped(int(ratio)))
	case ratio >= 10:
		return fmt.Sprintf("%.0f×", ratio)
	default:
		return fmt.Sprintf("%.1f×", ratio)
	}
}

// grouped is a number with a comma every three digits.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// spread joins values of one measure.
func spread(figures ...string) string { return strings.Join(figures, " / ") }
