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
	// longestField is more than any address, duration or time needs. Longer
	// text is refused before it is parsed.
	longestField = 64
)

// ParseDuration reads a duration as CrowdSec writes it: Go's syntax, which may
// begin with a whole number of days ("7d", "1d12h", "-3h"). A leading sign
// counts for the whole.
//
// So many days that a [time.Duration] cannot hold them (292 years) give the
// longest one, where CrowdSec's own parser would wrap around to the past.
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

// parseUnsigned reads days and the rest, and stops at the longest duration.
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
