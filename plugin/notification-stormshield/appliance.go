package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/edit"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// appliance is what the plugin takes for a firewall.
type appliance struct {
	*stormshield.Appliance
	entryLife time.Duration
	described config.Stormshield
}

func connect(d config.Document) plugin.Appliance { return connectTelling(nil)(d) }

// connectTelling is connect for somebody who waits.
func connectTelling(doing func(what string)) func(config.Document) plugin.Appliance {
	return func(d config.Document) plugin.Appliance {
		described := describe(d)
		described.Doing = doing
		return appliance{stormshield.New(described), d.Stormshield.BlacklistTimeout, d.Stormshield}
	}
}

// describe makes of a configuration what the client of an appliance takes.
func describe(d config.Document) stormshield.Config {
	s := d.Stormshield
	return stormshield.Config{
		API: serverd.Config{
			Host: s.Host, Port: s.APIPort, User: s.APIUsername, Password: s.APIPassword.Reveal(),
			Trust: serverd.Trust{
				CAPath: s.APICAPath, ServerName: s.APIServerName,
				Fingerprint: s.APICertFingerprint, Insecure: s.APIInsecureSkipVerify,
			},
		},
		SSH: shell.Config{
			Host: s.Host, Port: s.SSHPort, User: s.SSHUsername, Password: s.SSHPassword.Reveal(),
			PrivateKeyPath: s.SSHPrivateKeyPath, PrivateKeyPassphrase: s.SSHPrivateKeyPassphrase.Reveal(),
			HostKey: s.SSHHostKey, KnownHostsPath: s.SSHKnownHostsPath,
			InsecureHostKey: s.SSHInsecureIgnoreHostKey, LegacyAlgorithms: s.SSHLegacyAlgorithms,
		},
		ConfigDir: s.ConfigDir, Group: s.Group, DeleteGroup: s.DeleteGroup,
		ReloadCommand: s.ReloadCommand, BlacklistTimeout: s.BlacklistTimeout, SingleMax: s.APISingleMax,
		EachFor: 30 * time.Second,
	}
}

func (a appliance) Apply(ctx context.Context, c enforcer.Change) (enforcer.Done, error) {
	if err := c.Begin(); err != nil {
		return enforcer.Done{Outcome: ledger.Outcome{Mark: c.Mark}}, err
	}
	now := time.Now()
	change := stormshield.Change{
		Unblock: c.Unblock, Add: c.Add, Remove: c.Remove, Total: c.Total, Reassert: c.Reassert,
		Files: edit.ParseState(c.Mark), Standing: c.Standing, Each: c.Each,
		AskSerial: c.AskSerial, Serial: c.Serial, OldGroups: c.OldGroups,
	}
	for _, b := range c.Block {
		change.Block = append(change.Block, stormshield.Block{Prefix: b.Prefix, Timeout: b.Until.Sub(now)})
	}
	done, err := a.Appliance.Apply(ctx, change)
	acknowledged := enforcer.Done{
		Leftovers: done.Leftovers, Kept: done.Kept,
		Outcome: ledger.Outcome{
			Unblocked: done.Unblocked, Listed: done.Listed, Cleared: done.Cleared, Mark: done.Files.String(), Asserted: done.Asserted,
			Serial: done.Serial, OldGroupsGone: done.OldGroupsGone, Unfinished: done.Unfinished,
		},
	}
	for _, b := range done.Blocked {
		acknowledged.Blocked = append(acknowledged.Blocked, ledger.Entry(b))
	}
	if !done.Asserted.IsZero() {
		acknowledged.AssertedUntil = done.Asserted.Add(a.entryLife)
	}
	var refused *stormshield.RefusedError
	var foreign *stormshield.ForeignError
	if errors.As(err, &refused) {
		acknowledged.Refused = refused.Refused
	} else if err != nil && !errors.As(err, &foreign) {
		return acknowledged, otherAppliance(loginError(err, a.described))
	}
	acknowledged.At = time.Now()
	return acknowledged, err
}

func (a appliance) Check(ctx context.Context) error {
	return loginError(stormshield.FirstFault(a.Appliance.Check(ctx)), a.described)
}

// otherAppliance makes the enforcer's error about another appliance.
func otherAppliance(err error) error {
	var other *stormshield.OtherApplianceError
	if errors.As(err, &other) {
		return &enforcer.OtherApplianceError{Serial: other.Serial, Err: err}
	}
	return err
}

// loginError makes the enforcer's error about a failed login.
func loginError(err error, s config.Stormshield) error {
	failure, failed := stormshield.LoginFailed(err)
	if !failed {
		return err
	}
	login := &enforcer.LoginError{Temporary: failure.Temporary, Delay: failure.Delay, Hint: failure.Hint + dollarHint(err, s), Err: err}
	var fault *stormshield.Fault
	if errors.As(err, &fault) { // its own hint would stand beside this one
		login.Err = fmt.Errorf("%s: %w", fault.Subject, fault.Err)
	}
	return login
}

// dollarHint returns the hint about a $ for a refused password of the YAML, because
// CrowdSec may have changed it; "" for all other failures.
func dollarHint(err error, s config.Stormshield) string {
	const hint = "; if the password holds a $, CrowdSec may have changed it: put it into a file, with "
	var api *serverd.AuthError
	if errors.As(err, &api) {
		if api.Refused() && !api.NeedsTOTP() && s.APIPasswordPath == "" {
			return hint + "api_password_path"
		}
		return ""
	}
	var ssh *shell.AuthError
	if errors.As(err, &ssh) && ssh.Refusal == shell.Refused && s.SSHPassword != "" && s.SSHPasswordPath == "" {
		return hint + "ssh_password_path"
	}
	return ""
}
