package stormshield

import (
	"context"
	"errors"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// dialAPI logs in to the API. A login that the appliance did not accept is an
// [appliance.LoginError].
func (a *Appliance) dialAPI(ctx context.Context) (*serverd.Session, error) {
	session, err := serverd.Dial(ctx, a.config.API)
	var refused *serverd.AuthError
	if errors.As(err, &refused) {
		hint := apiLoginHint(refused)
		if refused.Refused() && !refused.NeedsTOTP() {
			hint += a.config.APIPasswordHint
		}
		return nil, &appliance.LoginError{Temporary: !refused.Refused(), Delay: refused.Delay, Hint: hint, Err: err}
	}
	return session, err
}

// dialSSH logs in over SSH. A login that the appliance did not accept is an
// [appliance.LoginError]: it counts towards the same lock-out as one to the API.
func (a *Appliance) dialSSH(ctx context.Context) (*shell.Client, error) {
	client, err := a.ssh.Dial(ctx)
	var refused *shell.AuthError
	if errors.As(err, &refused) {
		hint := refusalHint(refused)
		if refused.Refusal == shell.Refused {
			hint += a.config.SSHPasswordHint
		}
		return nil, &appliance.LoginError{Hint: hint, Err: err}
	}
	return client, err
}

func loginFailed(err error) bool {
	var login *appliance.LoginError
	return errors.As(err, &login)
}

func apiLoginHint(err *serverd.AuthError) string {
	switch {
	case err.NeedsTOTP():
		return "use an account without a one-time password (api_username)"
	case err.Locked():
		return "the account may be right: failed logins of any program on this address cause the lock; find out which program fails to log in, and wait until the lock is over"
	case err.Refused():
		return "correct api_username and api_password; after three failures the appliance locks both SSH and web"
	}
	return "the account may be right: the appliance may be busy, restarting, or have too many sessions open"
}
