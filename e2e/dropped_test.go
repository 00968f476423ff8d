package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// dropped is what CrowdSec says when it gives an alert up: its broker was busy three times.
const dropped = "Cannot send alert to Plugin channel (try: 2)"

// Many agents that report at once keep CrowdSec from handing alerts out: it tries three times, 50 ms apart, and then
// drops the alert.
func TestAlertsThatTheBrokerDropsAreEnforcedAllTheSame(t *testing.T) {
	release := current
	release.environment = "GOMAXPROCS=1" // a small machine is busy sooner
	w := newWorld(t, Combination{CrowdSec: release, LoginShell: "/bin/sh"})
	w.follow(t)
	reported := 0
	for storms := 0; w.CrowdSec.logged(dropped) == 0; storms++ {
		if storms == 20 {
			t.Fatalf("the broker took every one of %d alerts", reported)
		}
		reported += w.CrowdSec.storm(t, reported)
	}
	t.Logf("MEASURED alerts that the broker dropped: %d of %d", w.CrowdSec.logged(dropped), reported)
	within(t, readEvery+enforcedWithin, "every alert enforced", w.waitUntilBlocks(t, reported, time.Minute))
	w.leaveNoTrace(t)
}

// storm has many agents report alerts at once, and returns how many those are. The first bans the address of that number.
func (c *CrowdSec) storm(t *testing.T, first int) int {
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
					Duration: "4h", Origin: "crowdsec", Scenario: "e2e/storm", Scope: "Ip", Type: "ban",
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
