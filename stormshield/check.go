package stormshield

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"

	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// Finding is one thing that Check looked at.
type Finding struct {
	Subject string // what was looked at
	Detail  string // what was found
	Err     error  // what is wrong; nil: nothing
	Hint    string // what to do about Err
}

// Check tries what the other calls rest on, and changes nothing but the
// monitor right, which it takes if it is free, and gives back. It logs in at
// most once to the API and once over SSH. The API comes first, for it tells a
// wrong password from a lock-out; when its login is refused, SSH is not tried,
// as both count towards the same lock-out.
func (a *Appliance) Check(ctx context.Context) []Finding {
	c := &checker{Appliance: a}
	if refused := c.overAPI(ctx); !refused {
		c.overSSH(ctx)
	}
	return c.findings
}

// FirstFault returns the first of the findings that is wrong, as one error
// with its hint; nil if all is well.
func FirstFault(findings []Finding) error {
	for _, f := range findings {
		if f.Err != nil {
			return fmt.Errorf("%s: %w (hint: %s)", f.Subject, f.Err, f.Hint)
		}
	}
	return nil
}

type checker struct {
	*Appliance
	findings []Finding
}

func (c *checker) good(subject, detail string) {
	c.findings = append(c.findings, Finding{Subject: subject, Detail: detail})
}

func (c *checker) bad(subject string, err error, hint string) {
	c.findings = append(c.findings, Finding{Subject: subject, Err: err, Hint: hint})
}

func (c *checker) overAPI(ctx context.Context) (refused bool) {
	session, err := serverd.Dial(ctx, c.config.API)
	if err != nil {
		c.bad("API login", err, c.apiHint(err))
		return c.loginRefused(err)
	}
	defer release(ctx, session)
	c.good("API login", fmt.Sprintf("%s at %s, rights %s", c.config.API.User, c.config.API.Host, strings.Join(session.Levels(), " ")))
	if answer, err := session.Run(ctx, "SYSTEM PROPERTY"); err == nil {
		result := answer.Section("Result")
		c.good("appliance", strings.TrimSpace(result["Model"]+" "+result["Version"]))
	} else {
		c.bad("appliance", err, "the account needs the right base")
	}
	// Without FORCE: a flush under way elsewhere keeps the right.
	_, err = session.Run(ctx, "MODIFY MONITOR ON")
	var command *serverd.CommandError
	switch {
	case err == nil:
		c.good("right to the blacklist", "MODIFY MONITOR")
	case errors.As(err, &command) && command.Ret == serverd.RetTooMany:
		c.good("right to the blacklist", "another session holds it at the moment")
	default:
		c.bad("right to the blacklist", err, fmt.Sprintf("give the account %s the right mon_write on the appliance", c.config.API.User))
	}
	return false
}

func (c *checker) overSSH(ctx context.Context) {
	client, err := shell.Dial(ctx, c.config.SSH)
	if err != nil {
		c.bad("SSH login", err, c.sshHint(err))
		return
	}
	defer func() { _ = client.Close() }()
	c.good("SSH login", c.config.SSH.User+" at "+c.config.SSH.Host)
	if c.tools(ctx, client) && c.folder(ctx, client) {
		files := edit.In(c.config.ConfigDir, client)
		c.file(ctx, files, "object", objects.HostSection)
		c.file(ctx, files, "objectgroup", "")
	}
}

func (c *checker) tools(ctx context.Context, client *shell.Client) bool {
	var there, missing []string
	for _, tool := range []string{"cat", "cp", "grep", "mv", "rm", "awk", "cksum", "tail", "ln", "sync"} {
		has, err := client.Has(ctx, tool)
		if err != nil {
			c.bad("shell", err, "the account needs a login shell that runs /bin/sh; look at it on the appliance")
			return false
		}
		if has {
			there = append(there, tool)
		} else {
			missing = append(missing, tool)
		}
	}
	detail := "/bin/sh has " + strings.Join(there, " ")
	if len(missing) > 0 {
		detail += ", lacks " + strings.Join(missing, " ")
	}
	if slices.ContainsFunc([]string{"awk", "cksum", "tail"}, func(tool string) bool { return slices.Contains(missing, tool) }) {
		detail += "; so each flush will send both files whole"
	}
	for _, needed := range []string{"cat", "cp", "grep", "mv", "rm"} {
		if slices.Contains(missing, needed) {
			c.bad("shell", errors.New(detail), needed+" is needed to replace the files; there is no way without it")
			return false
		}
	}
	c.good("shell", detail)
	return true
}

func (c *checker) folder(ctx context.Context, client *shell.Client) bool {
	const subject = "configuration folder"
	_, err := client.Run(ctx, fmt.Sprintf("cd %[1]s || exit 2; test -w %[1]s || exit 3", c.config.ConfigDir), nil)
	var exit *shell.ExitError
	switch {
	case err == nil:
		c.good(subject, c.config.ConfigDir)
		return true
	case errors.As(err, &exit) && exit.Status == 2:
		c.bad(subject, fmt.Errorf("%s cannot be entered on the appliance: %w", c.config.ConfigDir, err),
			"set config_dir to the folder that holds the files object and objectgroup")
	case errors.As(err, &exit) && exit.Status == 3:
		c.bad(subject, fmt.Errorf("%s cannot be written by %s", c.config.ConfigDir, c.config.SSH.User),
			"use the account admin for SSH (ssh_username)")
	default:
		c.bad(subject, err, "look at the SSH connection")
	}
	return false
}

func (c *checker) file(ctx context.Context, files *edit.Files, name, section string) {
	path := c.config.ConfigDir + "/" + name
	text, err := files.File(ctx, name)
	switch {
	case err != nil:
		c.bad("file "+path, err, "set config_dir to the folder that holds the files object and objectgroup")
	case section != "" && !objects.HasSection(text, section):
		c.bad("file "+path, fmt.Errorf("it has no section [%s]", section),
			"an appliance always has one: see that config_dir is right, and restore the file if it was damaged")
	case section != "":
		c.good("file "+path, fmt.Sprintf("%d bytes, section [%s]", len(text), section))
	default:
		detail := fmt.Sprintf("%d bytes", len(text))
		for _, group := range []string{c.config.Group, c.config.DeleteGroup} {
			if objects.HasSection(text, group) {
				detail += ", group " + group
			} else {
				detail += ", group " + group + " will be made"
			}
		}
		c.good("file "+path, detail)
	}
}

func (c *checker) sshHint(err error) string {
	var host *shell.HostKeyError
	switch {
	case errors.As(err, &host):
		return "if you know that the appliance's key has changed, put " + host.Shown +
			" into ssh_host_key; otherwise somebody may stand in between"
	case c.loginRefused(err):
		return "correct ssh_username, ssh_password or the key; after three failures the appliance locks both SSH and web"
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
