package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"
)

const (
	// sparklineColumns is the width of a sparkline: one column stands for half an hour.
	sparklineColumns = 48
	sparklineLength  = 24 * time.Hour
)

// sparkline shows the bans in force of the last 24 hours as a line of blocks, with the least and the most of them. A column shows the
// most of its half an hour, and is blank without a sample. A locale without the blocks gets the two numbers alone. samples is not empty.
func sparkline(samples []sample, now time.Time) string {
	var columns [sparklineColumns]int // one more than the bans; 0: there is no sample
	least, most := samples[0].InForce, samples[0].InForce
	for _, s := range samples {
		least, most = min(least, s.InForce), max(most, s.InForce)
		age := min(max(now.Sub(s.At), 0), sparklineLength-1)
		column := &columns[sparklineColumns-1-int(age/(sparklineLength/sparklineColumns))]
		*column = max(*column, s.InForce+1)
	}
	text := fmt.Sprintf("least %d, most %d", least, most)
	if !hasUTF8() {
		return text
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	line := []rune(strings.Repeat(" ", sparklineColumns))
	for i, column := range columns {
		if column > 0 {
			line[i] = blocks[(column-1-least)*(len(blocks)-1)/max(most-least, 1)]
		}
	}
	return string(line) + "  " + text
}

// hasUTF8 reports whether the locale's encoding is UTF-8 (POSIX, Environment Variables, LC_CTYPE).
func hasUTF8() bool {
	locale := strings.ToUpper(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	return strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
}
