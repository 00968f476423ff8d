package stormshield

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"syscall"

	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

func (c *checker) sshHint(err error) string {
	var host *shell.HostKeyError
	switch {
	case errors.As(err, &host):
		return "if you know that the appliance's key has changed, put " + host.Shown +
			" into ssh_host_key; otherwise somebody may stand in between"
	case c.loginRefused(err):
		return "correct ssh_username, ssh_password or the key; after three failures the appliance locks both SSH and web"
	case shell.NothingInCommon(err):
		return "set ssh_legacy_algorithms: true, which offers what old versions of SNS know"
	case isNetwork(err):
		return "switch SSH on (it is off by default) and allow this machine; see host and ssh_port"
	}
	return "see the ssh_ keys of the configuration"
}

func (c *checker) apiHint(err error) string {
	var certificate *serverd.CertificateError
	var auth *serverd.AuthError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &certificate) && errors.As(err, &unknown):
		return "api_ca_path is not the CA of this certificate; or, if it is the appliance's own, put " +
			serverd.Fingerprint(certificate.Fingerprint) + " into api_cert_fingerprint"
	case errors.As(err, &certificate):
		return "if you know that the appliance's certificate has changed, put " + serverd.Fingerprint(certificate.Fingerprint) +
			" into api_cert_fingerprint; otherwise somebody may stand in between"
	case errors.As(err, &auth) && auth.Msg == "NEED_TOTP_AUTH":
		return "use an account without a one-time password (api_username)"
	case errors.As(err, &auth) && auth.Msg == "ERR_BRUTEFORCE":
		return "find out who fails to log in from this address, wait until the lock is over, then check again"
	case c.loginRefused(err):
		return "correct api_username and api_password; after three failures the appliance locks both SSH and web"
	case isNetwork(err):
		return "see host and api_port, and that this machine may reach the web administration"
	}
	return "see the api_ keys of the configuration"
}

func (c *checker) loginRefused(err error) bool {
	_, refused := LoginRefused(err)
	return refused
}

func isNetwork(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, context.DeadlineExceeded)
}
