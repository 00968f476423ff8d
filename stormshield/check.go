package stormshield

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/objects"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// Check tries what the other calls rest on, and changes nothing but the
// monitor right, which it takes if it is free, and gives back. It logs in at
// most once to the API and once over SSH. The API comes first, for it tells a
// wrong password from a lock-out; when its login is refused, SSH is not tried,
// as both count towards the same lock-out.
func (a *Appliance) Check(ctx context.Context) []Finding {
	c := &checker{Appliance: a}
	defer c.close()
	c.check(ctx)
	return c.report(checked...)
}

type checker struct {
	*Appliance
	findings
	shell *shell.Client // nil: not logged in
}

func (c *checker) close() {
	if c.shell != nil {
		_ = c.shell.Close()
	}
}

func (c *checker) check(ctx context.Context) {
	c.doing("logging in to the API")
	if failed := c.overAPI(ctx); failed {
		c.untried(sshLogin, "the API did not accept the login: one more failure would bring a lock-out nearer")
		return
	}
	c.doing("logging in over SSH")
	c.overSSH(ctx)
}

func (c *checker) overAPI(ctx context.Context) (loginHasFailed bool) {
	session, err := serverd.Dial(ctx, c.config.API)
	if err != nil {
		c.wrong(apiLogin, err, c.apiHint(err))
		return loginFailed(err)
	}
	defer release(ctx, session)
	c.holds(apiLogin, fmt.Sprintf("%s, rights %s", c.config.API.User, strings.Join(session.Levels(), " ")))
	c.firmware(ctx, session)
	c.monitorRight(ctx, session)
	return false
}

// monitorRight asks for the monitor right without FORCE, so that a flush under way
// elsewhere keeps it. An appliance that refuses this may grant it with FORCE, as a
// flush asks for it: some answer 204, some 200, while another session holds it.
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
	client, err := c.ssh.Dial(ctx)
	if err != nil {
		c.wrong(sshLogin, err, c.sshHint(err))
		return
	}
	c.shell = client
	c.holds(sshLogin, c.config.SSH.User)
	c.server(ctx)
	if c.loginShell(ctx) && c.tools(ctx) && c.folder(ctx) {
		files := edit.In(c.config.ConfigDir, c.config.Group, client)
		c.file(ctx, files, objectFile)
		c.file(ctx, files, groupFile)
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

func (c *checker) loginShell(ctx context.Context) bool {
	out, err := c.shell.Run(ctx, "echo $SHELL", nil)
	if err != nil {
		c.wrong(loginShell, err, "the account needs a login shell that runs /bin/sh; look at it on the appliance")
		return false
	}
	name := strings.ToValidUTF8(strings.TrimSpace(string(out)), "?")
	if name == "" {
		name = "not told"
	}
	c.holds(loginShell, name)
	return true
}

// Tools of the appliance, by what depends on them.
var (
	neededTools = []string{"cat", "cp", "grep", "mv", "rm"}
	editTools   = []string{"awk", "cksum", "tail"} // package edit makes the files there with these
)

func (c *checker) tools(ctx context.Context) bool {
	var there, missing []string
	for _, tool := range shell.Tools {
		has, err := c.shell.Has(ctx, tool)
		if err != nil {
			c.wrong(tools, err, "look at the SSH connection")
			return false
		}
		if has {
			there = append(there, tool)
		} else {
			missing = append(missing, tool)
		}
	}
	detail := "has " + strings.Join(there, " ")
	if len(missing) > 0 {
		detail += "; lacks " + strings.Join(missing, " ")
	}
	switch needed, edits := common(neededTools, missing), common(editTools, missing); {
	case needed != "":
		c.wrong(tools, errors.New(detail), needed+" is needed to replace the files; there is no way without it")
		return false
	case edits != "":
		c.differs(tools, detail, "without "+edits+" each flush sends both files whole")
	default:
		c.holds(tools, detail)
	}
	return true
}

// common returns the words that are in both lists.
func common(some, others []string) string {
	in := map[string]bool{}
	for _, word := range others {
		in[word] = true
	}
	var both []string
	for _, word := range some {
		if in[word] {
			both = append(both, word)
		}
	}
	return strings.Join(both, ", ")
}

// otherFolders are where documents say that the files may be.
var otherFolders = []string{"/data/Main/ConfigFiles", "/usr/Firewall/ConfigFiles"}

func (c *checker) folder(ctx context.Context) bool {
	_, err := c.shell.Run(ctx, fmt.Sprintf("cd %[1]s || exit 2; test -w %[1]s || exit 3", c.config.ConfigDir), nil)
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
			"use the account admin for SSH (ssh_username)")
	default:
		c.wrong(configFolder, err, "look at the SSH connection")
	}
	return false
}

// lookElsewhere returns the first other folder that holds an object file.
func (c *checker) lookElsewhere(ctx context.Context) string {
	script := fmt.Sprintf("for d in %s; do test -f $d/object && echo $d; done; true", strings.Join(otherFolders, " "))
	out, err := c.shell.Run(ctx, script, nil)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

func (c *checker) file(ctx context.Context, files *edit.Files, subject string) {
	text, err := files.File(ctx, strings.TrimPrefix(subject, "file "))
	switch {
	case err != nil:
		c.wrong(subject, err, "set config_dir to the folder that holds the files object and objectgroup")
	case subject == groupFile:
		detail := fmt.Sprintf("%d bytes", len(text))
		for _, group := range []string{c.config.Group, c.config.DeleteGroup} {
			detail += ", group " + group
			if !objects.HasSection(text, group) {
				detail += " will be made"
			}
		}
		c.holds(subject, detail)
	case !objects.HasSection(text, objects.HostSection):
		c.wrong(subject, fmt.Errorf("it has no section [%s]", objects.HostSection),
			"an appliance always has one: see that config_dir is right, and restore the file if it was damaged")
	default:
		c.holds(subject, fmt.Sprintf("%d bytes, section [%s]", len(text), objects.HostSection))
	}
}
