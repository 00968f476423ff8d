package e2e

import (
	"strings"
	"testing"
	"time"
)

// testAddress is the address in the alert of `cscli notifications test`.
const testAddress = "10.10.10.10"

// CrowdSec 1.4.6 does not have this command.
func TestTheTestAlertReportsWhetherTheSetUpWorks(t *testing.T) {
	forEachAccess(t, func(t *testing.T, env *Environment) {
		t.Run("a good set-up", func(t *testing.T) {
			out := testAlert(t, env)
			if strings.Contains(out, "level=error") || strings.Contains(out, "failed") {
				t.Errorf("the appliance has no fault, and cscli prints:\n%s", out)
			}
			if !strings.Contains(out, "set up well") {
				t.Errorf("cscli does not show that the set-up works:\n%s", out)
			}
			if s := env.Appliance.Stats(t); s.APILoginsOK == 0 || env.Plugin.usesSSH() && env.SSH.logins() == 0 {
				t.Errorf("the test alert did not try the appliance: %+v", s)
			}
		})
		t.Run("a wrong API password", func(t *testing.T) {
			env.Plugin.values["APIPassword"] = "wrong"
			env.Plugin.configure(t)
			for _, value := range []string{"203.0.113.94", "203.0.113.95"} { // the second time within the hold-off
				out := testAlert(t, env)
				if !strings.Contains(out, "delivery failed") || !strings.Contains(out, "api_password") {
					t.Errorf("cscli does not show the reason of the failure:\n%s", out)
				}
				// The running plugin still has the right password. Its logins must not make the wrong one be tried again.
				env.waitUntilEnforced(t, value, env.CrowdSec.Ban(t, "--ip", value, time.Hour), enforcedWithin)
			}
			if s := env.Appliance.Stats(t); s.APILoginsFailed != 1 || s.Lockouts != 0 {
				t.Errorf("%d failed logins and %d lockouts, want one attempt", s.APILoginsFailed, s.Lockouts)
			}
		})
		t.Run("the password corrected", func(t *testing.T) {
			env.Plugin.values["APIPassword"] = password
			env.Plugin.configure(t)
			if out := testAlert(t, env); strings.Contains(out, "failed") {
				t.Errorf("the appliance has no fault any more, and cscli prints:\n%s", out)
			}
		})

		// A later flush does not block it, either.
		const real = "203.0.113.93"
		env.waitUntilEnforced(t, real, env.CrowdSec.Ban(t, "--ip", real, time.Hour), enforcedWithin)
		if times := env.Appliance.logged("+ " + testAddress + " "); times > 0 {
			t.Errorf("%s was blocked %d times by tests", testAddress, times)
		}
	})
}

// testAlert sends the test alert and returns the output of cscli.
func testAlert(t *testing.T, env *Environment) string {
	t.Helper()
	start := time.Now()
	out, err := env.CrowdSec.Cscli(t, "notifications", "test", notification)
	checkWithin(t, 15*time.Second, "cscli notifications test", time.Since(start))
	t.Logf("cscli printed:\n%s", out)
	if err != nil {
		t.Errorf("cscli notifications test: %v", err)
	}
	return out
}
