// Package acceptance checks whether an appliance behaves as the plugin expects.
//
// The plugin rests on assumptions about SNS: how it logs in, which tools it has, and what its commands answer. Each row in
// rows.go is one of them, and gives one [Finding]. [Check] tries those that need no write, and [CheckAndWrite] tries all. The
// package enforces no ban, and leaves the appliance as it was.
package acceptance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// Check tries what needs no write. It changes nothing but the monitor right, which it takes if it is free, and gives back. It
// logs in at most once to the API and, with credentials for SSH, once over SSH. The API comes first, because it can tell a wrong
// password from a lock-out. If it refuses the login, Check does not try SSH, because both count towards the same lock-out.
func Check(ctx context.Context, client *stormshield.Appliance) []Finding {
	c := newChecker(client)
	defer c.close(ctx)
	c.runReadRows(ctx)
	return c.findings
}

// CheckAndWrite does what Check does, and then tries what only writing shows. It blocks addresses for documentation, writes
// their objects and groups into the files, compares how the appliance behaves, and removes everything. Where a filter rule enforces,
// it also inserts a rule that is off into an inactive policy, and adds an address to the group of bans, to see when the running rule
// shows it. It never activates an edit of a policy. It touches nothing else on the appliance. A flush may run at the same time. It
// opens several sessions of the API, one after another.
func CheckAndWrite(ctx context.Context, client *stormshield.Appliance) []Finding {
	c := newChecker(client)
	defer c.close(ctx)
	c.runReadRows(ctx)
	c.writeAndRemove(ctx)
	return c.findings
}

// runReadRows tries what needs no write.
func (c *checker) runReadRows(ctx context.Context) {
	if c.config.WithoutSSH {
		c.run(ctx, noSSHRow)
	}
	c.run(ctx, apiRows...)
	if c.isPair {
		c.run(ctx, pairRow)
	}
	if c.config.Rule.Enforces {
		c.run(ctx, ruleRows...)
	} else {
		c.findUnusedRule(ctx)
	}
	if !c.config.WithoutSSH {
		c.run(ctx, sshRows...)
		if c.config.Rule.Enforces {
			c.run(ctx, activationRow)
		}
	}
}

func (c *checker) writeAndRemove(ctx context.Context) {
	defer c.run(ctx, lastRow) // also after a panic
	c.run(ctx, c.writeRows()...)
}

// checker is one run of Check or CheckAndWrite.
type checker struct {
	*stormshield.Appliance
	config   stormshield.Config
	findings []Finding
	session  *serverd.Session // nil: there is none
	shell    *shell.Client    // nil: it is not connected
	serial   string           // of the appliance that answers; "": not known
	isPair   bool             // the appliance is one of a pair for high availability
	writeState
	ruleState
}

func newChecker(client *stormshield.Appliance) *checker {
	return &checker{Appliance: client, config: client.Config()}
}

func (c *checker) progress(step string) {
	if c.config.Progress != nil {
		c.config.Progress(step)
	}
}

func (c *checker) close(ctx context.Context) {
	c.closeSession(ctx)
	c.closeShell()
}

func (c *checker) closeSession(ctx context.Context) {
	if c.session != nil {
		stormshield.Release(ctx, c.session)
		c.session = nil
	}
}

func (c *checker) closeShell() {
	if c.shell != nil {
		_ = c.shell.Close()
		c.shell = nil
	}
}

func (c *checker) noSSH(context.Context) Finding {
	return Finding{
		Detail: "not used; over the API alone: single addresses only, no ranges; more than about 2,000 bans, or many at once, take long",
		Hint:   "to block ranges too, switch SSH on and give ssh_password or ssh_private_key_path",
	}
}

func (c *checker) logInToAPI(ctx context.Context) Finding {
	c.progress("logging in to the API")
	session, err := c.DialAPI(ctx)
	if err != nil {
		return wrong(err, apiHint(err))
	}
	c.session = session
	return holds(fmt.Sprintf("%s, rights %s", c.config.API.Account(), strings.Join(session.Levels(), " ")))
}

func (c *checker) firmware(ctx context.Context) Finding {
	properties, err := c.Properties(ctx, c.session)
	if err != nil {
		return wrong(err, c.commandHint(err, "base"))
	}
	detail := strings.TrimSpace(properties["Model"] + " " + properties["Version"])
	c.serial, c.isPair = properties["SerialNumber"], properties["HighAvail"] == "1"
	if c.isPair {
		detail += ", one of a pair: a failover empties the blacklist, and reassert_every fills it again"
	}
	return holds(detail)
}

// monitorRight asks for the monitor right without FORCE, so that another flush keeps it. While another session holds it, some
// appliances answer 204 and some 200. They may grant it with FORCE, which a flush uses.
func (c *checker) monitorRight(ctx context.Context) Finding {
	_, err := c.session.Run(ctx, "MODIFY MONITOR ON")
	var command *serverd.CommandError
	switch {
	case err == nil:
		return holds("MODIFY MONITOR")
	case errors.As(err, &command) && command.Ret == serverd.RetTooMany:
		return holds("another session holds it at the moment")
	case serverd.IsRefused(err):
		return differs(err.Error(), "another session may hold the right; a flush takes it with FORCE, which check --write tries")
	}
	return wrong(err, c.commandHint(err, "mon_write"))
}

func (c *checker) logInOverSSH(ctx context.Context) Finding {
	c.closeSession(ctx)
	if loginFailed(c.finding(apiLogin).Err) {
		return notTried("the API did not accept the login, and one more failure could lock the account")
	}
	c.progress("logging in over SSH")
	client, err := c.DialSSH(ctx)
	if err != nil {
		return wrong(err, sshHint(err))
	}
	c.shell = client
	return holds(c.config.SSH.User)
}
