package enforcer

import (
	"context"
	"time"

	"notification-stormshield/plugin/failures"
	"notification-stormshield/plugin/ledger"
)

// waiting is the last log line about bans that wait.
type waiting struct {
	bans int       // how many waited when it was last logged; 0: none wait
	at   time.Time // when that was
}

// reportWaiting logs how many bans wait: when the first ones begin to wait, and when twice as many wait. It logs at most every ten
// minutes.
func (e *Enforcer) reportWaiting(ctx context.Context, p ledger.Plan, now time.Time) error {
	if p.Waiting == 0 {
		e.waiting.bans = 0
	}
	if p.Waiting < 2*e.waiting.bans || p.Waiting == 0 || now.Sub(e.waiting.at) < failures.RepeatEvery {
		return nil
	}
	s, err := e.Ledger.Status(ctx, now)
	if err != nil {
		return err
	}
	e.waiting = waiting{p.Waiting, now}
	e.Log.Warn("more bans are in force than max_bans allows: those that matter least wait", "waiting", p.Waiting, "classes", s.Waiting.String(),
		"enforced", p.InForce, "max_bans", e.MaxBans, "hint", ledger.WaitingHint)
	return nil
}
