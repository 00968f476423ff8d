package e2e

import (
	"testing"
	"time"
)

// waitFor asks for a condition every 20 ms until it holds, and returns how long that took. The test fails when the
// limit passes first; why is what the condition said last.
func waitFor(t testing.TB, limit time.Duration, what string, condition func() (holds bool, why string)) time.Duration {
	t.Helper()
	return waitForEvery(t, 20*time.Millisecond, limit, what, condition)
}

// waitForEvery is waitFor for a condition that costs more to ask for.
func waitForEvery(
	t testing.TB, interval, limit time.Duration, what string, condition func() (holds bool, why string),
) time.Duration {
	t.Helper()
	start := time.Now()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		holds, why := condition()
		took := time.Since(start)
		if holds {
			return took
		}
		if took > limit {
			t.Fatalf("waited %s in vain until %s: %s", limit, what, why)
		}
		<-ticker.C
	}
}

// within logs a measured time and fails the test when it is over the limit.
func within(t testing.TB, limit time.Duration, what string, took time.Duration) {
	t.Helper()
	t.Logf("MEASURED %-50s %8s (limit %s)", what, took.Round(time.Millisecond), limit)
	if took > limit {
		t.Errorf("%s took %s, limit %s", what, took.Round(time.Millisecond), limit)
	}
}
