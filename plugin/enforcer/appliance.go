package enforcer

import (
	"context"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/plugin/lockout"
)

// Appliance is a firewall.
type Appliance interface {
	// Apply applies a change and returns what the appliance acknowledged, also with an error. A login that the appliance did not
	// accept is an [appliance.LoginError], and another serial number an [appliance.OtherApplianceError]. Outcome.At is zero with an error.
	Apply(ctx context.Context, c appliance.Change) (appliance.Outcome, error)
}

// LoginHoldOff is the login hold-off of all processes, such as a [lockout.File] or a [lockout.Shared].
type LoginHoldOff interface {
	Current(credentials string, now time.Time) (hold lockout.HoldOff, active bool, err error)
	RecordFailure(credentials string, failure lockout.Failure, now time.Time) (lockout.HoldOff, error)
	RecordSuccess(credentials string) error
}

// FailureOf returns a failed login as the login hold-off records it.
func FailureOf(login *appliance.LoginError) lockout.Failure {
	return lockout.Failure{Reason: login.Error(), Hint: login.Hint, Temporary: login.Temporary, Delay: login.Delay}
}
