package acceptance

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

func sshHint(err error) string {
	var host *shell.HostKeyError
	var login *appliance.LoginError
	switch {
	case errors.As(err, &host):
		return hostKeyHint(host)
	case errors.As(err, &login):
		return login.Hint
	case shell.NeedsLegacy(err):
		return "set ssh_legacy_algorithms: true, which offers what old versions of SNS know"
	case isNetwork(err):
		return "switch SSH on (it is off by default) and allow this machine; see host and ssh_port"
	}
	return "see the ssh_ keys of the configuration"
}

func hostKeyHint(err *shell.HostKeyError) string {
	switch err.Distrust {
	case shell.KeyDiffers:
		return "if you know that the appliance's key was changed, put " + err.Shown +
			" into ssh_host_key; otherwise somebody may intercept the connection"
	case shell.NameUnknown:
		return "compare the key with the one that the appliance shows, and add a line with that name and the key to the file"
	case shell.KeyRevoked:
		return "find out who revoked it and why; the appliance needs another host key"
	case shell.NotCertified:
		return "the appliance needs a valid certificate of the CA in the file, for the name in host"
	}
	return "compare the key that `crowdsec-stormshield trust` shows with the one on the appliance, and set ssh_host_key to it"
}

func apiHint(err error) string {
	var certificate *serverd.CertificateError
	var name *serverd.NameError
	var login *appliance.LoginError
	var other *serverd.HTTPError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &certificate) && errors.As(err, &unknown):
		return "api_ca_path is not the CA of this certificate; or, if it is the appliance's own, put " +
			serverd.Fingerprint(certificate.Fingerprint) + " into api_cert_fingerprint"
	case errors.As(err, &name) && name.Name != "":
		return fmt.Sprintf("if %s is this appliance (a factory certificate has its serial number), set api_server_name: %[1]s", name.Name)
	case errors.As(err, &certificate):
		return "if you know that the appliance's certificate has changed, put " + serverd.Fingerprint(certificate.Fingerprint) +
			" into api_cert_fingerprint; otherwise somebody may intercept the connection"
	case errors.As(err, &login):
		return login.Hint
	case errors.As(err, &other) && (other.Page || other.Code == http.StatusMethodNotAllowed):
		return "allow this machine's address, and the interface by which it connects, in the appliance's web administration; " +
			"if they are allowed, another service may have the port api_port"
	case errors.As(err, &other):
		return "the appliance may be busy or restarting, or another service may have the port api_port: check again in a minute"
	case isNetwork(err):
		return "see host and api_port, and that this machine may reach the web administration"
	}
	return "see the api_ keys of the configuration"
}

// commandHint returns the hint for a command that failed after a successful login.
// It names a right only if the answer is about a right.
func (c *checker) commandHint(err error, rights string) string {
	var root *serverd.RootError
	var other *serverd.HTTPError
	switch {
	case serverd.IsForbidden(err):
		return fmt.Sprintf("give the account %s the right %s on the appliance; if it has that, paste this report into a bug report", c.config.API.Account(), rights)
	case errors.As(err, &root) && root.IsSessionEnded():
		return "the appliance ended the new session: make sure that nobody disconnects it, and check again"
	case errors.As(err, &root):
		return "serverd on the appliance does not answer as it should: look at the appliance, and check again"
	case errors.As(err, &other):
		return "the login succeeded, but the next answer does not come from the API: look for a proxy between this machine and the appliance, and check again"
	case isNetwork(err):
		return "the appliance did not answer in time: check again when it is less busy"
	}
	return "the answer names the cause; if check fails again, paste this report into a bug report"
}

func isNetwork(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, context.DeadlineExceeded)
}

// scriptHint returns the hint for a script over SSH that did not run.
func (c *checker) scriptHint(err error) string {
	var notRun *shell.NoShellError
	var exit *shell.ExitError
	switch {
	case errors.As(err, &notRun) && c.config.SSH.User == admin:
		return "give admin a login shell that runs /bin/sh: if it is nsrpc, set CLIShell=0 (CONFIG SSH UPDATE)"
	case errors.As(err, &notRun):
		return "use the account admin for SSH (ssh_username), or give this one a login shell that runs /bin/sh: if it is nsrpc, set CLIShell=0 (CONFIG SSH UPDATE)"
	case errors.As(err, &exit):
		return "look at the text that the appliance printed"
	}
	return "look at the SSH connection"
}

// admin is the account that SNS has for SSH by default.
const admin = "admin"

const configDirHint = "set config_dir to the folder that holds the files object and objectgroup"

// writeHint returns the hint for a folder that cannot be written.
func (c *checker) writeHint() string {
	const look = "look on the appliance whether the file system is mounted read-only, and who may write in the folder (ls -ld)"
	if c.config.SSH.User == admin {
		return look
	}
	return "use the account admin for SSH (ssh_username); or " + look
}

// fileHint returns the hint for a file that cannot be used, and whether the
// connection still works.
func (c *checker) fileHint(err error) (hint string, connected bool) {
	var exit *shell.ExitError
	var output *shell.OutputError
	switch {
	case errors.Is(err, edit.ErrLink):
		return "every flush fails, because it would replace the link by a file; set config_dir to the folder that the link leads to", true
	case errors.Is(err, edit.ErrNoFile), errors.As(err, &exit):
		return configDirHint, true
	case errors.As(err, &output):
		return "look on the appliance at the content of the file", false
	}
	return c.scriptHint(err), false
}
