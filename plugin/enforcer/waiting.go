package enforcer

import (
	"context"
	"time"

	"notification-stormshield/plugin/ledger"
)

// WaitingHint is what the administrator can do about bans that wait.
const WaitingHint = "set decisions.max_bans higher in the notification's YAML, if the appliance can hold that many, and reload CrowdSec"

// reportWaiting logs how many bans wait, when some begin to.
func (e *Enforcer) reportWaiting(ctx context.Context, p ledger.Plan, now time.Time) error {
	if p.Waiting == 0 || e.waiting {
		e.waiting = p.Waiting > 0
		return nil
	}
	s, err := e.Ledger.Status(ctx, now)
	if err != nil {
		return err
	}
	e.waiting = true
	e.Log.Warn("more bans are in force than max_bans allows: those that matter least wait", "waiting", p.Waiting, "of", s.Waiting.String(),
		"enforced", p.InForce, "max_bans", e.MaxBans, "hint", WaitingHint)
	return nil
}
