package plugin

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// undecidedEvery is the least time between two log lines about alerts without
// decisions.
const undecidedEvery = time.Hour

// undecided counts alerts without decisions. They block nothing. Mostly they mean
// that the wrong profile in profiles.yaml names the notification.
type undecided struct {
	mu    sync.Mutex
	count int       // since the last log line
	said  time.Time // the last log line; zero: none yet
}

// add counts alerts. It logs the first count at once, then one count an hour.
func (u *undecided) add(alerts int, now time.Time, log hclog.Logger) {
	if alerts == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count += alerts
	if !u.said.IsZero() && now.Sub(u.said) < undecidedEvery {
		return
	}
	args := []any{"alerts", u.count}
	if !u.said.IsZero() {
		args = append(args, "since", u.said.Format(time.RFC3339))
	}
	log.Info("alerts without decisions block nothing", append(args, "hint", "if these addresses are to be blocked, look at the order in profiles.yaml: "+
		"a profile without decisions names this notification, and the profile that bans stands behind it or does not name it; `crowdsec-stormshield check` tries this")...)
	u.count, u.said = 0, now
}
