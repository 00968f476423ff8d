package stormshield

import (
	"errors"
	"time"

	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// LoginFailure says what an appliance answered to a login that it did not
// accept, over SSH or to the API. Both count towards the same lock-out.
type LoginFailure struct {
	// Temporary says that the appliance did not refuse the account: the same
	// login may be accepted later.
	Temporary bool
	Delay     time.Duration // how long the appliance wants to be left alone; 0: it did not say
	Hint      string        // what the administrator can do
}

// LoginFailed reports whether err says that the appliance did not accept a login.
// A connection that fails, and a command that is refused in a session, are none.
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
		return "the account may be right: failed logins from this address lock it, also those of other programs; find out who fails to log in, and wait until the lock is over"
	case err.Refused():
		return "correct api_username and api_password; after three failures the appliance locks both SSH and web"
	}
	return "the account may be right: the appliance may be busy, restarting, or have too many sessions open"
}
