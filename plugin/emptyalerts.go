package plugin

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// emptyAlertsEvery is the least time between two log lines about alerts without decisions.
const emptyAlertsEvery = time.Hour

// emptyAlerts counts alerts without decisions. They block nothing. Usually the wrong profile in profiles.yaml names the
// notification.
type emptyAlerts struct {
	mu     sync.Mutex
	count  int       // since the last log line
	logged time.Time // the last log line; zero: none yet
}

// add counts alerts. It logs the first count at once, then one count an hour.
func (e *emptyAlerts) add(alerts int, now time.Time, log hclog.Logger) {
	if alerts == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count += alerts
	if !e.logged.IsZero() && now.Sub(e.logged) < emptyAlertsEvery {
		return
	}
	args := []any{"alerts", e.count}
	if !e.logged.IsZero() {
		args = append(args, "since", e.logged.Format(time.RFC3339))
	}
	log.Info("alerts without decisions block nothing", append(args, "hint", "if these addresses are to be blocked, look at the order in profiles.yaml: "+
		"a profile without decisions names this notification, and the profile that bans stands behind it or does not name it; "+
		"`crowdsec-stormshield check` tries this")...)
	e.count, e.logged = 0, now
}
