package ban

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	day         = 24 * time.Hour
	maxDuration = time.Duration(math.MaxInt64)
	// longestField is more bytes than any address, duration or time has. Longer text is not parsed.
	longestField = 64
)

// ParseDuration parses a duration as CrowdSec writes it: Go's syntax, optionally after a whole number of days ("7d",
// "1d12h", "-3h"). A sign at the beginning applies to the whole text. More than 292 years give the longest
// [time.Duration]. CrowdSec's own parser wraps around to the past.
func ParseDuration(text string) (time.Duration, error) {
	if len(text) > longestField {
		return 0, errors.New("duration is too long a text")
	}
	unsigned, negative := strings.TrimSpace(text), false
	switch {
	case strings.HasPrefix(unsigned, "-"):
		unsigned, negative = unsigned[1:], true
	case strings.HasPrefix(unsigned, "+"):
		unsigned = unsigned[1:]
	}
	if unsigned == "" {
		return 0, errors.New("duration is empty")
	}
	total, err := parseUnsigned(unsigned)
	if err != nil {
		return 0, fmt.Errorf("duration %q is not like 30s, 10m, 4h, 7d or 1d12h", text)
	}
	if negative {
		total = -total
	}
	return total, nil
}

// parseUnsigned returns the sum of the days and the rest, or the longest duration if that is less.
func parseUnsigned(text string) (time.Duration, error) {
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		rest, days = text, "0"
	}
	n, err := strconv.ParseUint(days, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, err
	}
	var tail time.Duration
	if rest != "" || !hasDays {
		if strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
			return 0, errors.New("sign in the middle")
		}
		if tail, err = time.ParseDuration(rest); err != nil {
			return 0, err
		}
	}
	if n > uint64((maxDuration-tail)/day) {
		return maxDuration, nil
	}
	return time.Duration(n)*day + tail, nil
}
