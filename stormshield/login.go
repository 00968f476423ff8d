package stormshield

import (
	"errors"
	"time"

	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// LoginFailure describes a login over SSH or to the API that the appliance did not
// accept. Both count towards the same lock-out.
type LoginFailure struct {
	// Temporary says that the appliance did not refuse the account: it may accept
	// the same login later.
	Temporary bool
	Delay     time.Duration // how long the appliance asks to wait; 0: it names no time
	Hint      string        // what the administrator can do
}

// LoginFailed reports whether err says that the appliance did not accept a login. A
// failed connection and a refused command are not failed logins.
func LoginFailed(err error) (LoginFailure, bool) {
	var overSSH *shell.AuthError
	if errors.As(err, &overSSH) {
		return LoginFailure{Hint: refusalHint(overSSH)}, true
	}
	var overAPI *serverd.AuthError
	if errors.As(err, &overAPI) {
		return LoginFailure{Temporary: !overAPI.Refused(), Delay: overAPI.Delay, Hint: apiLoginHint(overAPI)}, true
	}
	return LoginFailure{}, false
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
