package e2e

import (
	"strings"
	"testing"
	"time"
)

// testSubject is whom `cscli notifications test` pretends to ban.
const testSubject = "10.10.10.10"

// CrowdSec 1.4.6 has no such command.
func TestTheTestAlertTellsWhetherTheSetUpWorks(t *testing.T) {
	everyShell(t, func(t *testing.T, w *World) {
		t.Run("a good one", func(t *testing.T) {
			out := testAlert(t, w)
			if strings.Contains(out, "level=error") || strings.Contains(out, "failed") {
				t.Errorf("the appliance is fine, cscli says:\n%s", out)
			}
			if !strings.Contains(out, "set up well") {
				t.Errorf("cscli does not show that the plugin found everything well:\n%s", out)
			}
			if s := w.Appliance.Stats(t); s.APILoginsOK == 0 || w.SSH.logged("Accepted password") == 0 {
				t.Errorf("the test alert did not try the appliance: %+v", s)
			}
		})
		t.Run("a wrong API password", func(t *testing.T) {
			w.Plugin.values["APIPassword"] = "wrong"
			w.Plugin.configure(t)
			for _, value := range []string{"203.0.113.94", "203.0.113.95"} { // the second time within the hold-off
				out := testAlert(t, w)
				if !strings.Contains(out, "delivery failed") || !strings.Contains(out, "api_password") {
					t.Errorf("cscli does not show that and why the test failed:\n%s", out)
				}
				// The running plugin still has the right password, and its logins are no reason to try the wrong one again.
				w.waitUntilEnforced(t, value, w.CrowdSec.Ban(t, "--ip", value, time.Hour), enforcedWithin)
			}
			if s := w.Appliance.Stats(t); s.APILoginsFailed != 1 || s.Lockouts != 0 {
				t.Errorf("%d failed logins and %d lockouts, want one attempt", s.APILoginsFailed, s.Lockouts)
			}
		})
		t.Run("the password corrected", func(t *testing.T) {
			w.Plugin.values["APIPassword"] = password
			w.Plugin.configure(t)
			if out := testAlert(t, w); strings.Contains(out, "failed") {
				t.Errorf("the appliance is fine again, cscli says:\n%s", out)
			}
		})

		// A flush that comes afterwards leaves it alone too.
		const real = "203.0.113.93"
		w.waitUntilEnforced(t, real, w.CrowdSec.Ban(t, "--ip", real, time.Hour), enforcedWithin)
		if times := w.Appliance.logged("+ " + testSubject + " "); times > 0 {
			t.Errorf("%s was blocked %d times by tests", testSubject, times)
		}
	})
}

// testAlert sends the test alert and returns what cscli printed.
func testAlert(t *testing.T, w *World) string {
	t.Helper()
	start := time.Now()
	out, err := w.CrowdSec.Cscli(t, "notifications", "test", notification)
	within(t, 15*time.Second, "cscli notifications test", time.Since(start))
	t.Logf("cscli printed:\n%s", out)
	if err != nil {
		t.Errorf("cscli notifications test: %v", err)
	}
	return out
}
