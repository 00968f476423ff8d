package health

import (
	"fmt"
	"strings"
	"time"
)

// FormatDuration writes a duration in its two largest units: 3h12m, 2d4h, 45s.
func FormatDuration(d time.Duration) string {
	if d < time.Second {
		return "0s"
	}
	var text strings.Builder
	written := 0
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		n := d / unit.length
		d -= n * unit.length
		if n == 0 && written == 0 {
			continue
		}
		if n > 0 {
			fmt.Fprintf(&text, "%d%s", n, unit.name)
		}
		if written++; written == 2 {
			break
		}
	}
	return text.String()
}

// FormatCount writes a number of things.
func FormatCount(n int, singular, plural string) string {
	if n == 1 {
		return "1 " + singular
	}
	return fmt.Sprintf("%d %s", n, plural)
}

// jsonTime returns a time for JSON. The zero time is null.
func jsonTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
