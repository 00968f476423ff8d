package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"

	"github.com/spf13/pflag"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/setup"
)

func setupCommand() command {
	var o setup.Options
	return command{
		usage:   "setup",
		summary: "Set the plugin up: ask, try, and name it in CrowdSec's profiles",
		help: `Asks for the data of one appliance, shows the appliance's fingerprints, writes the
notification's file, tries it as 'check' does, and names the notification in the
profiles that ban. With cscli it also makes a key, so that the plugin enforces
lists and unbans. Run it as root, on the machine of CrowdSec's Local API.

It overwrites no file, and never reloads CrowdSec. It changes profiles.yaml only
after you have seen the change and typed yes. The old file stays beside it.
It only reads config.yaml.

Each question has a flag, so that a script can run this without a terminal. It
also reads answers from standard input, one a line. With --yes it does not ask
questions that have a usual answer (SSH: yes), and changes the profiles without a
question, if CrowdSec's plugin folder is in order. --yes does not confirm the
fingerprints: give both, or type yes. If the set-up does not work, it is removed,
unless you type yes to keep it, or give --no-check.

With --secrets-dir the passwords and the key are in files of their own, which only
the plugin's user can read. A password may then contain a $. Without it they are
in the notification's file.

With --enforce rule or both, a filter rule on the appliance enforces the bans, or
only logs packets. The set-up shows how the policy must change, and installs the
rule if you type yes or give --install-rule. --yes alone does not change a filter
policy. Until the rule is in force it enforces nothing, so install it before you
reload CrowdSec: 'rule install' does the same later.

With --no-ssh the plugin works over the API alone: it blocks single addresses,
refuses ranges, and enforces at most 2,000 bans, unless you set max_bans.

Several CrowdSec machines may enforce on one appliance: answer yes to that
question, or give --state-url. They then share their state in a PostgreSQL
database. The set-up tries the connection. Give the notification the same --name
and the same --state-url on each machine.

For a second appliance, give another file and name with -c and --name.`,
		example: `  By hand:
    crowdsec-stormshield setup

  By a script, which knows the fingerprints from the appliance itself:
    crowdsec-stormshield setup --yes --host 192.0.2.1 \
      --ssh-password-file /root/sns-password \
      --never-block 198.51.100.7,203.0.113.0/24 \
      --ssh-host-key SHA256:... --api-cert-fingerprint SHA256:...`,
		bind: func(flags *pflag.FlagSet) {
			o.Given = flags.Changed
			bindSetup(flags, &o)
		},
		run: func(ctx context.Context, _ []string, out output) error { return runSetup(ctx, o, out) },
	}
}

func bindSetup(flags *pflag.FlagSet, o *setup.Options) {
	defaults := config.Default()
	flags.StringVar(&o.CrowdSec, "crowdsec", defaultCrowdSec, "CrowdSec's configuration `file`")
	flags.StringVarP(&o.File, "config", "c", "", "the notification's YAML `file` (default stormshield.yaml in CrowdSec's notifications folder)")
	flags.StringVar(&o.Name, "name", config.SampleName, "the notification's `name`")
	flags.StringVar(&o.StateDir, "state-dir", defaults.StateDir, "the `folder` where bans are kept")
	flags.StringVar(&o.Host, "host", "", "the appliance's `address` or name")
	flags.IntVar(&o.SSHPort, "ssh-port", defaults.Stormshield.SSHPort, "its SSH `port`")
	flags.StringVar(&o.SSHUsername, "ssh-username", "", "the `account` for SSH (usually "+defaults.Stormshield.SSHUsername+")")
	flags.StringVar(&o.SSHPasswordFile, "ssh-password-file", "", "a `file` that holds the password for SSH")
	flags.StringVar(&o.SSHPrivateKeyPath, "ssh-private-key-path", "", "the `file` of a private key for SSH, instead of a password")
	flags.StringVar(&o.SSHPassphraseFile, "ssh-private-key-passphrase-file", "", "a `file` that holds the passphrase of that key")
	flags.StringVar(&o.SSHHostKey, "ssh-host-key", "", "the `fingerprint` that the SSH host key must have")
	flags.BoolVar(&o.NoSSH, "no-ssh", false, "work over the API alone: single addresses, no ranges")
	flags.BoolVar(&o.SSHLegacyAlgorithms, "ssh-legacy-algorithms", false, "also offer the old algorithms of old versions of SNS")
	flags.IntVar(&o.APIPort, "api-port", defaults.Stormshield.APIPort, "the `port` of its HTTPS API")
	flags.StringVar(&o.APIUsername, "api-username", "", "the `account` for the API (usually that for SSH)")
	flags.StringVar(&o.APIPasswordFile, "api-password-file", "", "a `file` that holds the password for the API (usually that for SSH)")
	flags.StringVar(&o.APICertFingerprint, "api-cert-fingerprint", "", "the `fingerprint` that the API's certificate must have")
	flags.StringVar(&o.ConfigDir, "config-dir", defaults.Stormshield.ConfigDir, "the `folder` of the files object and objectgroup on the appliance")
	flags.StringVar(&o.SecretsDir, "secrets-dir", "", "put each secret into a file of this `folder`, for the plugin's user alone, and not into the YAML")
	flags.StringVar(&o.Enforce, "enforce", "", "what enforces the bans: `blacklist`, rule or both (usually blacklist)")
	flags.StringVar(&o.RuleAction, "rule-action", "", "what the filter rule does: `block`, reset or log (usually block)")
	flags.StringVar(&o.RuleDirection, "rule-direction", "", "packets from banned addresses (`in`), to them (out), or both (usually in)")
	flags.BoolVar(&o.InstallRule, "install-rule", false, "install the filter rule in the policy, without a question")
	flags.StringSliceVar(&o.NeverBlock, "never-block", nil, "`addresses` or prefixes of your own that must never be blocked")
	flags.StringVar(&o.StateURL, "state-url", "", "the `address` of a PostgreSQL database that several CrowdSec machines share; '' for none")
	flags.StringVar(&o.StatePasswordPath, "state-password-path", "", "the `file` with its password, for the plugin's user alone; '' for none")
	flags.StringVar(&o.StateMachine, "state-machine", "", "the `name` of this machine among them (usually its host name)")
	flags.BoolVar(&o.Yes, "yes", false, "use the usual answers, and change profiles, without a question")
	flags.BoolVar(&o.NoLAPI, "no-lapi", false, "make no key for CrowdSec's Local API: alerts alone")
	flags.BoolVar(&o.NoCheck, "no-check", false, "do not try the set-up on the appliance")
	flags.BoolVar(&o.DryRun, "dry-run", false, "write nothing and do not log in; print the files that would be written")
}

// runSetup sets an appliance up, with the answers of the standard input.
func runSetup(ctx context.Context, o setup.Options, out output) error {
	return setup.Run(ctx, o, setup.Program{
		In: os.Stdin, Out: out.stdout, Warnings: out.stderr,
		Check: func(ctx context.Context, file, name string) error {
			return runSelf(ctx, out, "check", "--unnamed", "-c", file, "-n", name)
		},
		RuleDiff: func(ctx context.Context, file, name string) (setup.RuleChange, error) {
			var printed bytes.Buffer
			change, err := runRule(ctx, &printed, "rule", "diff", "--json", "-c", file, "-n", name)
			if err != nil { // a difference is none
				_, _ = printed.WriteTo(out.stderr)
			}
			return change, err
		},
		RuleInstall: func(ctx context.Context, file, name string) (setup.RuleChange, error) {
			return runRule(ctx, out.stderr, "rule", "install", "--yes", "--json", "-c", file, "-n", name)
		},
		TryDatabase: tryDatabase,
		PingLocalAPI: func(ctx context.Context, d config.Document) error {
			client, err := plugin.LocalAPI(d, version)
			if err != nil {
				return err
			}
			return client.Ping(ctx)
		},
	})
}

// runSelf runs a command of this program in a process of its own. The command gives up root, and then sees whether the plugin's user
// can read the files. An interrupt does not kill it, so that it can take back what it has begun.
func runSelf(ctx context.Context, out output, arguments ...string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	self := exec.CommandContext(ctx, program, arguments...) //nolint:gosec // this program itself
	self.Args[0] = os.Args[0]
	self.Cancel = func() error { return self.Process.Signal(os.Interrupt) }
	self.Stdout, self.Stderr = out.stdout, out.stderr
	return self.Run()
}

// runRule runs a command about the rule. The command has succeeded if it prints JSON: rule diff also fails if there is a difference.
func runRule(ctx context.Context, stderr io.Writer, arguments ...string) (setup.RuleChange, error) {
	var printed bytes.Buffer
	failed := runSelf(ctx, output{&printed, stderr}, arguments...)
	var change ruleChange
	if err := json.Unmarshal(printed.Bytes(), &change); err != nil {
		return setup.RuleChange{}, cmp.Or(failed, err)
	}
	return setup.RuleChange{Slot: change.Slot, Active: change.Active, Diff: change.Diff, Changed: change.Changed}, nil
}
