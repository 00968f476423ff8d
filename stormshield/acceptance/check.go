package acceptance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// Check tries what needs no write. It changes nothing but the monitor right, which it
// takes if it is free, and gives back. It logs in at most once to the API and once over
// SSH. The API comes first, because it can tell a wrong password from a lock-out. If it
// refuses the login, Check does not try SSH, because both count towards the same
// lock-out.
func Check(ctx context.Context, config stormshield.Config) []Finding {
	c := newChecker(config)
	defer c.close()
	c.check(ctx)
	return c.report(checked...)
}

type checker struct {
	*stormshield.Appliance
	config stormshield.Config
	findings
	shell *shell.Client // nil: not logged in
}

func newChecker(config stormshield.Config) *checker {
	config.APIPasswordHint, config.SSHPasswordHint = "", "" // the caller knows more about the passwords
	return &checker{Appliance: stormshield.New(config), config: config}
}

func (c *checker) progress(step string) {
	if c.config.Progress != nil {
		c.config.Progress(step)
	}
}

func (c *checker) close() {
	if c.shell != nil {
		_ = c.shell.Close()
	}
}

func (c *checker) check(ctx context.Context) {
	c.progress("logging in to the API")
	if failed := c.overAPI(ctx); failed {
		c.untried(sshLogin, "the API did not accept the login, and one more failure could lock the account")
		return
	}
	c.progress("logging in over SSH")
	c.overSSH(ctx)
}

func (c *checker) overAPI(ctx context.Context) (loginHasFailed bool) {
	session, err := c.DialAPI(ctx)
	if err != nil {
		c.wrong(apiLogin, err, c.apiHint(err))
		return loginFailed(err)
	}
	defer stormshield.Release(ctx, session)
	c.holds(apiLogin, fmt.Sprintf("%s, rights %s", c.config.API.User, strings.Join(session.Levels(), " ")))
	c.firmware(ctx, session)
	c.monitorRight(ctx, session)
	return false
}

// monitorRight asks for the monitor right without FORCE, so that another flush keeps
// it. While another session holds it, some appliances answer 204 and some 200. They
// may grant it with FORCE, which a flush uses.
func (c *checker) monitorRight(ctx context.Context, session *serverd.Session) {
	_, err := session.Run(ctx, "MODIFY MONITOR ON")
	var command *serverd.CommandError
	switch {
	case err == nil:
		c.holds(blacklistRight, "MODIFY MONITOR")
	case errors.As(err, &command) && command.Ret == serverd.RetTooMany:
		c.holds(blacklistRight, "another session holds it at the moment")
	case serverd.Refused(err):
		c.differs(blacklistRight, err.Error(), "another session may hold the right; a flush takes it with FORCE, which check --write tries")
	default:
		c.wrong(blacklistRight, err, c.commandHint(err, "mon_write"))
	}
}

func (c *checker) firmware(ctx context.Context, session *serverd.Session) {
	answer, err := session.Run(ctx, "SYSTEM PROPERTY")
	if err != nil {
		c.wrong(firmware, err, c.commandHint(err, "base"))
		return
	}
	result := answer.Section("Result")
	detail := strings.TrimSpace(result["Model"] + " " + result["Version"])
	if result["HighAvail"] == "1" {
		detail += ", one of a pair: a failover empties the blacklist, and reassert_every fills it again"
	}
	c.holds(firmware, detail)
}

func (c *checker) overSSH(ctx context.Context) {
	client, err := c.DialSSH(ctx)
	if err != nil {
		c.wrong(sshLogin, err, c.sshHint(err))
		return
	}
	c.shell = client
	c.holds(sshLogin, c.config.SSH.User)
	c.server(ctx)
	if c.loginShell(ctx) && c.tools(ctx) && c.folder(ctx) {
		files := edit.In(c.config.ConfigDir, c.config.Group, client)
		if c.file(ctx, files, objectFile) {
			c.file(ctx, files, groupFile)
		}
	}
}

func (c *checker) server(ctx context.Context) {
	detail := c.shell.Server()
	if has, err := c.shell.HasSubsystem(ctx, "sftp"); err == nil && has {
		detail += "; has SFTP, which is not used"
	} else if err == nil {
		detail += "; has no SFTP, which is not used"
	}
	if c.config.SSH.LegacyAlgorithms {
		c.differs(sshServer, detail, "ssh_legacy_algorithms is set: try without, old algorithms are weak")
		return
	}
	c.holds(sshServer, detail)
}

// ask runs a small command, which must end soon.
func (c *checker) ask(ctx context.Context, script string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, shell.DefaultTimeout, fmt.Errorf("the command did not end within %s", shell.DefaultTimeout))
	defer cancel()
	return c.shell.Run(ctx, script, nil)
}

func (c *checker) loginShell(ctx context.Context) bool {
	out, err := c.ask(ctx, "echo $SHELL")
	if err != nil {
		c.wrong(loginShell, err, c.scriptHint(err))
		return false
	}
	name := strings.ToValidUTF8(strings.TrimSpace(string(out)), "?")
	if name == "" {
		name = "not told"
	}
	if printed := c.shell.Printed(); printed != "" {
		c.differs(loginShell, fmt.Sprintf("%s; it prints text of its own around the output of a command: %q", name, printed),
			"the plugin ignores that text; change the account's .cshrc or .profile so that it prints only on a terminal")
		return true
	}
	c.holds(loginShell, name)
	return true
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

// otherFolders are where documents say that the files may be.
var otherFolders = []string{"/data/Main/ConfigFiles", "/usr/Firewall/ConfigFiles"}

func (c *checker) folder(ctx context.Context) bool {
	_, err := c.ask(ctx, fmt.Sprintf("cd %[1]s || exit 2; test -w %[1]s || exit 3", c.config.ConfigDir))
	var exit *shell.ExitError
	switch {
	case err == nil:
		c.holds(configFolder, c.config.ConfigDir)
		return true
	case errors.As(err, &exit) && exit.Status == 2:
		hint := "set config_dir to the folder that holds the files object and objectgroup"
		if found := c.lookElsewhere(ctx); found != "" {
			hint = "set config_dir: " + found + ", where the file object is"
		}
		c.wrong(configFolder, fmt.Errorf("%s cannot be entered on the appliance: %w", c.config.ConfigDir, err), hint)
	case errors.As(err, &exit) && exit.Status == 3:
		c.wrong(configFolder, fmt.Errorf("%s cannot be written by %s", c.config.ConfigDir, c.config.SSH.User),
			c.writeHint())
	default:
		c.wrong(configFolder, err, c.scriptHint(err))
	}
	return false
}

// writeHint returns the hint for a folder that cannot be written.
func (c *checker) writeHint() string {
	const look = "look on the appliance whether the file system is mounted read-only, and who may write in the folder (ls -ld)"
	if c.config.SSH.User == admin {
		return look
	}
	return "use the account admin for SSH (ssh_username); or " + look
}

// lookElsewhere returns the first other folder that holds an object file.
func (c *checker) lookElsewhere(ctx context.Context) string {
	script := fmt.Sprintf("for d in %s; do test -f $d/object && echo $d; done; true", strings.Join(otherFolders, " "))
	out, err := c.ask(ctx, script)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

// file checks one of the files. It reports whether to check the next one.
func (c *checker) file(ctx context.Context, files *edit.Files, subject string) (goOn bool) {
	name := strings.TrimPrefix(subject, "file ")
	err := files.Replaceable(ctx, name)
	var text []byte
	if err == nil {
		text, err = files.File(ctx, name)
	}
	switch {
	case err != nil:
		hint, goOn := c.fileHint(err)
		c.wrong(subject, err, hint)
		return goOn
	case subject == groupFile:
		detail := fmt.Sprintf("%d bytes", len(text))
		for _, group := range []string{c.config.Group, c.config.DeleteGroup} {
			detail += ", group " + group
			if !objects.HasSection(text, group) {
				detail += " will be made"
			}
		}
		if err := stormshield.ForeignMembers(text, c.config.Group, c.config.DeleteGroup); err != nil {
			c.wrong(subject, err, stormshield.ForeignHint)
			return true
		}
		c.holds(subject, detail)
	case !objects.HasSection(text, objects.HostSection):
		c.wrong(subject, fmt.Errorf("it has no section [%s]", objects.HostSection),
			"an appliance always has one: see that config_dir is right, and restore the file if it was damaged")
	default:
		c.holds(subject, fmt.Sprintf("%d bytes, section [%s]", len(text), objects.HostSection))
	}
	return true
}

// fileHint returns the hint for a file that cannot be used, and whether the
// connection still works.
func (c *checker) fileHint(err error) (hint string, usable bool) {
	var exit *shell.ExitError
	var output *shell.OutputError
	switch {
	case errors.Is(err, edit.ErrLink):
		return "every flush fails, because it would replace the link by a file; set config_dir to the folder that the link leads to", true
	case errors.Is(err, edit.ErrNoFile), errors.As(err, &exit):
		return "set config_dir to the folder that holds the files object and objectgroup", true
	case errors.As(err, &output):
		return "look on the appliance at the content of the file", false
	}
	return c.scriptHint(err), false
}
