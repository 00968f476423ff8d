package ban_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"notification-stormshield/plugin/ban"
)

func TestParseDurationReadsDaysAndShorterUnits(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"4h": 4 * time.Hour, "7d": 7 * day, "1d12h": day + 12*time.Hour, "-3h": -3 * time.Hour, "-1d2h": -day - 2*time.Hour,
		"+2d": 2 * day, "2d3h4m5s": 2*day + 3*time.Hour + 4*time.Minute + 5*time.Second, "0": 0, "0s": 0, "0d": 0, "1.5h": 90 * time.Minute,
		" 4h ": 4 * time.Hour, "3h59m26.9s": 3*time.Hour + 59*time.Minute + 26900*time.Millisecond, "007d": 7 * day,
		"106751d": 106751 * day, "106752d": math.MaxInt64, "106751d23h48m": math.MaxInt64, "99999999999999999999999d": math.MaxInt64,
		"-106752d": -math.MaxInt64, "100000d2562047h": math.MaxInt64,
	} {
		if got, err := ban.ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseDurationRefusesFaultyTexts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "-", "+", "d", "-d", "4", "4w", "1.5d", "1h2d", "1d-2h", "1d+2h", "--3h", "-+3h", "1d2d", "1d2d3h", "1d 2h", "h",
		"9999999h", "forever", "1_0d", strings.Repeat("0", 64) + "1h",
	} {
		if got, err := ban.ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}
