package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// dropped is part of the line that CrowdSec logs when it drops an alert, because its broker was busy three times.
const dropped = "Cannot send alert to Plugin channel (try: 2)"

// While many agents report at once, CrowdSec cannot send alerts to the plugin. It tries three times within 100 ms, and then
// drops the alert.
func TestDecisionsOfDroppedAlertsAreBlocked(t *testing.T) {
	release := current
	release.environment = "GOMAXPROCS=1" // on one processor CrowdSec is busy sooner
	env := newEnvironment(t, Combination{CrowdSec: release, Access: overSSH})
	env.follow(t)
	reported := 0
	for bursts := 0; env.CrowdSec.logged(dropped) == 0; bursts++ {
		if bursts == 20 {
			t.Fatalf("CrowdSec dropped none of %d alerts", reported)
		}
		reported += env.CrowdSec.reportBurst(t, reported)
	}
	t.Logf("MEASURED alerts that CrowdSec dropped: %d of %d", env.CrowdSec.logged(dropped), reported)
	checkWithin(t, readEvery+enforcedWithin, "every alert enforced", env.waitUntilBlocks(t, reported, time.Minute))
	env.checkCleanup(t)
}

// reportBurst sends alerts of many agents at once, and returns their number. The addresses are counted from first.
func (c *CrowdSec) reportBurst(t *testing.T, first int) int {
	t.Helper()
	const agents, each = 40, 50
	token, err := c.logIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for agent := range agents {
		all.Go(func() {
			alerts := make([]wireAlert, each)
			for i := range alerts {
				n := first + agent*each + i
				alerts[i] = newWireAlert([]wireDecision{{
					Duration: "4h", Origin: "crowdsec", Scenario: "e2e/burst", Scope: "Ip", Type: "ban",
					Value: fmt.Sprintf("198.%d.%d.%d", 18+n>>16, n>>8&255, n&255),
				}})
			}
			body, err := json.Marshal(alerts)
			if err == nil {
				_, err = c.ask(t.Context(), http.MethodPost, "/v1/alerts", token, body)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	return agents * each
}
