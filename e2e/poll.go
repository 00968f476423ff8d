package e2e

import (
	"testing"
	"time"
)

// waitFor checks a condition every 20 ms until it holds, and returns how long that took. It fails the test after the limit,
// with the last reason of the condition.
func waitFor(t testing.TB, limit time.Duration, what string, condition func() (holds bool, why string)) time.Duration {
	t.Helper()
	return waitForEvery(t, 20*time.Millisecond, limit, what, condition)
}

// waitForEvery is waitFor with another interval, for a condition that costs more.
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
			t.Fatalf("after %s not yet: %s: %s", limit, what, why)
		}
		<-ticker.C
	}
}

// checkWithin logs a measured time, and fails the test if it is longer than the limit.
func checkWithin(t testing.TB, limit time.Duration, what string, took time.Duration) {
	t.Helper()
	t.Logf("MEASURED %-50s %8s (limit %s)", what, took.Round(time.Millisecond), limit)
	if took > limit {
		t.Errorf("%s took %s, limit %s", what, took.Round(time.Millisecond), limit)
	}
}
