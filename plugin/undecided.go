package plugin

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// undecidedEvery is how often at most the log counts alerts without decisions.
const undecidedEvery = time.Hour

// undecided counts alerts without decisions. They block nothing, and mostly mean
// that profiles.yaml names the notification in the wrong profile.
type undecided struct {
	mu    sync.Mutex
	count int       // since the log last said it
	said  time.Time // zero: never
}

// add counts alerts, and logs the count at once, then once an hour at most.
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
		"a profile that decides nothing names this notification, and the profile that bans comes later or does not name it; `crowdsec-stormshield check` looks at it")...)
	u.count, u.said = 0, now
}
