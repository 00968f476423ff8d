package stormshield

import (
	"context"
	"errors"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// DialAPI logs in to the API. A login that the appliance did not accept is an
// [appliance.LoginError].
func (a *Appliance) DialAPI(ctx context.Context) (*serverd.Session, error) {
	session, err := serverd.Dial(ctx, a.config.API)
	var refused *serverd.AuthError
	failed := errors.As(err, &refused)
	a.observer.api.countLogin(err == nil, failed && refused.Refused())
	if failed {
		hint := apiLoginHint(refused)
		if refused.Refused() && !refused.NeedsTOTP() {
			hint += a.config.APIPasswordHint
		}
		return nil, &appliance.LoginError{Temporary: !refused.Refused(), Delay: refused.Delay, Hint: hint, Err: err}
	}
	return session, err
}

// DialSSH logs in over SSH. A login that the appliance did not accept is an
// [appliance.LoginError]: it counts towards the same lock-out as one to the API.
func (a *Appliance) DialSSH(ctx context.Context) (*shell.Client, error) {
	client, err := a.ssh.Dial(ctx)
	var refused *shell.AuthError
	failed := errors.As(err, &refused)
	a.observer.ssh.countLogin(err == nil, failed && refused.Refusal != shell.Dropped) // the appliance dropped it without an answer
	if failed {
		hint := sshLoginHint(refused)
		if refused.Refusal == shell.Refused {
			hint += a.config.SSHPasswordHint
		}
		return nil, &appliance.LoginError{Hint: hint, Err: err}
	}
	return client, err
}

func apiLoginHint(err *serverd.AuthError) string {
	switch {
	case err.NeedsTOTP():
		return "use an account without a one-time password (api_username)"
	case err.Locked():
		return "the account may be right: failed logins of any program on this address cause the lock; find out which program fails to log in, and wait until the lock ends"
	case err.Refused() && err.ByCertificate:
		return "correct api_client_cert_path and api_client_key_path: the certificate may have expired, or the appliance may know no account for it"
	case err.Refused():
		return "correct api_username and api_password; after three failures the appliance locks both SSH and web"
	}
	return "the account may be right: the appliance may be busy, restarting, or have too many sessions open"
}

func sshLoginHint(err *shell.AuthError) string {
	switch err.Refusal {
	case shell.WantsMore:
		return "use an account that logs in with its password or its key alone (ssh_username): no second factor, no password that must be changed"
	case shell.NoMethod:
		return "configure a method that the appliance accepts (ssh_password, ssh_private_key_path), or allow one on the appliance"
	case shell.Dropped:
		return "look at the account on the appliance: its password may be wrong or expired, or the account locked; " +
			"after three failures the appliance locks both SSH and web"
	}
	return "correct ssh_username, ssh_password or the key; after three failures the appliance locks both SSH and web"
}
