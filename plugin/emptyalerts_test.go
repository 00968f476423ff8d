package plugin_test

import (
	"strings"
	"testing"
	"time"
)

func TestAlertsWithoutDecisionsAreLoggedAtOnceAndThenOnceAnHour(t *testing.T) {
	t.Parallel()
	unchanged := func(text string) string { return text }
	onMachine(t, unchanged, func(h *harness, _ *interfaces, log *logged) {
		const text = `[{"decisions":null,"scenario":"crowdsecurity/ssh-bf","stop_at":"2026-11-20T10:00:00Z"},{"scenario":"a","source":{}}]`
		wantLogged := func(want int, part string) {
			t.Helper()
			if err := h.notify(text); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(log.String(), "alerts without decisions block nothing"); n != want || !strings.Contains(log.String(), part) {
				t.Errorf("logged %d times, want %d with %q:\n%s", n, want, part, log)
			}
		}
		wantLogged(1, "alerts=2")
		wantLogged(1, "profiles.yaml")
		time.Sleep(59 * time.Minute)
		wantLogged(1, "")
		time.Sleep(2 * time.Minute)
		wantLogged(2, "alerts=6")
		if err := h.notify(alert("203.0.113.7", "")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if err := h.notify(alert("203.0.113.7", `,"simulated":true`)); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "alerts without decisions"); n != 2 {
			t.Errorf("an alert with decisions is counted:\n%s", log)
		}
	})
}
