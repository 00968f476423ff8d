package main

import (
	"context"
	"errors"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/acceptance"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// client is an appliance for the plugin.
type client struct{ *stormshield.Appliance }

// Check returns the first fault of the set-up.
func (c client) Check(ctx context.Context) error {
	return acceptance.FirstFault(acceptance.Check(ctx, c.Appliance))
}

func connect(d config.Document) plugin.Appliance { return connectWithProgress(nil)(d) }

// connectWithProgress also reports each step of a flush.
func connectWithProgress(show func(step string)) func(config.Document) plugin.Appliance {
	return func(d config.Document) plugin.Appliance {
		c := clientConfig(d)
		c.Progress = show
		return client{stormshield.New(c)}
	}
}

// isCommandError reports whether the appliance refused a command of the API.
func isCommandError(err error) bool { return errors.As(err, new(*serverd.CommandError)) }

// clientConfig returns the configuration of the appliance's client.
func clientConfig(d config.Document) stormshield.Config {
	s := d.Stormshield
	const dollarHint = "; if the password holds a $, CrowdSec may have changed it: put it into a file, with "
	var apiHint, sshHint string
	if s.APIPassword != "" && s.APIPasswordPath == "" {
		apiHint = dollarHint + "api_password_path"
	}
	if s.SSHPassword != "" && s.SSHPasswordPath == "" {
		sshHint = dollarHint + "ssh_password_path"
	}
	c := stormshield.Config{
		API: serverd.Config{
			Host: s.Host, Port: s.APIPort, User: s.APIUsername, Password: s.APIPassword.Reveal(),
			ClientCertPath: s.APIClientCertPath, ClientKeyPath: s.APIClientKeyPath,
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
		WithoutSSH: !s.UsesSSH(),
		ConfigDir:  s.ConfigDir, Group: s.Group, DeleteGroup: s.DeleteGroup,
		ReloadCommand: s.ReloadCommand, BlacklistTimeout: s.BlacklistTimeout, SingleMax: s.APISingleMax,
		Rule:          ruleOf(d),
		OneByOneLimit: 30 * time.Second, APIPasswordHint: apiHint, SSHPasswordHint: sshHint,
	}
	if d.UpdateFrequency < 10*time.Second { // slower flushes gain little
		c.SessionIdle = time.Minute
	}
	return c
}

// ruleOf returns how the filter rule of a configuration enforces, and how it is activated.
func ruleOf(d config.Document) stormshield.Rule {
	s := d.Stormshield
	return stormshield.Rule{
		Enforces: s.UsesRule(), Alone: !s.UsesBlacklist(), Observing: s.IsObserving(), Wanted: wantedRules(d),
		AsSource: s.Rule.Direction != "out", AsDestination: s.Rule.Direction != "in", Activate: s.Rule.Activate,
	}
}
