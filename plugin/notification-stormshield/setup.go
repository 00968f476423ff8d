package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"notification-stormshield/config"
	"notification-stormshield/crowdsec"
)

// pluginName is the plugin's file in CrowdSec's plugin folder.
const pluginName = "notification-" + config.Type

func setupCommand() *cobra.Command {
	var f setupFlags
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Set the plugin up: ask, try, and name it in CrowdSec's profiles",
		Long: `Asks for what it needs to know of one appliance, shows how the appliance
identifies itself, writes the notification's file, tries it as 'check' does, and
names the notification in the profiles whose decisions ban. With cscli it also
makes a key, so that lists and unbans are followed. Run it as root, on the machine
of CrowdSec's Local API.

It overwrites no file, and never reloads CrowdSec. profiles.yaml is changed only
after you have seen the change and said yes; a copy of it stays beside it.
config.yaml is only read.

Each question has a flag, so that a script can run this without a terminal;
answers are taken from standard input too, one a line. With --yes, what has a
usual answer is not asked, and profiles are changed without a question, if
CrowdSec's plugin folder is in order. That an appliance is the right one is never
taken for granted: give both fingerprints, or type yes. A set-up that does not
work is not kept, unless a typed yes says so, or --no-check.

With --secrets-dir the passwords and the key stand in files of their own, which
the plugin's user owns and nobody else can read. Any password will do then, also
one with a $. Without it they stand in the notification's file.

For a second appliance, give another file and name with -c and --name.`,
		Example: `  By hand:
    crowdsec-stormshield setup

  By a script, which knows the fingerprints from the appliance itself:
    crowdsec-stormshield setup --yes --host 192.0.2.1 \
      --ssh-password-file /root/sns-password \
      --never-block 198.51.100.7,203.0.113.0/24 \
      --ssh-host-key SHA256:... --api-cert-fingerprint SHA256:...`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := setup{
				setupFlags: f, given: cmd.Flags().Changed,
				dialogue: newDialogue(cmd.InOrStdin(), cmd.OutOrStdout()), out: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(),
			}
			return s.run(cmd.Context())
		},
	}
	f.register(cmd)
	return cmd
}

// setupFlags is what the command line answers.
type setupFlags struct {
	crowdsec, file                                              string
	name, stateDir, host, configDir                             string
	sshUsername, sshPasswordFile, sshPrivateKeyPath, sshHostKey string
	sshPassphraseFile, secretsDir                               string
	apiUsername, apiPasswordFile, apiCertFingerprint            string
	sshPort, apiPort                                            int
	sshLegacyAlgorithms                                         bool
	neverBlock                                                  []string
	yes, noCheck, noLAPI, dryRun                                bool
}

func (f *setupFlags) register(cmd *cobra.Command) {
	usual, flags := config.Default(), cmd.Flags()
	flags.StringVar(&f.crowdsec, "crowdsec", usualCrowdSec, "CrowdSec's configuration `file`")
	flags.StringVarP(&f.file, "config", "c", "", "the notification's YAML `file` (default stormshield.yaml in CrowdSec's notifications folder)")
	flags.StringVar(&f.name, "name", config.SampleName, "the notification's `name`")
	flags.StringVar(&f.stateDir, "state-dir", usual.StateDir, "the `folder` where bans are kept")
	flags.StringVar(&f.host, "host", "", "the appliance's `address` or name")
	flags.IntVar(&f.sshPort, "ssh-port", usual.Stormshield.SSHPort, "its SSH `port`")
	flags.StringVar(&f.sshUsername, "ssh-username", "", "the `account` for SSH (usually "+usual.Stormshield.SSHUsername+")")
	flags.StringVar(&f.sshPasswordFile, "ssh-password-file", "", "a `file` that holds the password for SSH")
	flags.StringVar(&f.sshPrivateKeyPath, "ssh-private-key-path", "", "the `file` of a private key for SSH, instead of a password")
	flags.StringVar(&f.sshPassphraseFile, "ssh-private-key-passphrase-file", "", "a `file` that holds the passphrase of that key")
	flags.StringVar(&f.sshHostKey, "ssh-host-key", "", "the `fingerprint` that the SSH host key must have")
	flags.BoolVar(&f.sshLegacyAlgorithms, "ssh-legacy-algorithms", false, "also offer the old algorithms of old versions of SNS")
	flags.IntVar(&f.apiPort, "api-port", usual.Stormshield.APIPort, "the `port` of its HTTPS API")
	flags.StringVar(&f.apiUsername, "api-username", "", "the `account` for the API (usually that for SSH)")
	flags.StringVar(&f.apiPasswordFile, "api-password-file", "", "a `file` that holds the password for the API (usually that for SSH)")
	flags.StringVar(&f.apiCertFingerprint, "api-cert-fingerprint", "", "the `fingerprint` that the API's certificate must have")
	flags.StringVar(&f.configDir, "config-dir", usual.Stormshield.ConfigDir, "the `folder` of the files object and objectgroup on the appliance")
	flags.StringVar(&f.secretsDir, "secrets-dir", "", "put each secret into a file of this `folder`, for the plugin's user alone, and not into the YAML")
	flags.StringSliceVar(&f.neverBlock, "never-block", nil, "`addresses` or prefixes of your own that must never be blocked")
	flags.BoolVar(&f.yes, "yes", false, "take usual answers, and change profiles, without a question")
	flags.BoolVar(&f.noLAPI, "no-lapi", false, "make no key for CrowdSec's Local API: alerts alone")
	flags.BoolVar(&f.noCheck, "no-check", false, "do not try the set-up on the appliance")
	flags.BoolVar(&f.dryRun, "dry-run", false, "write nothing and log in nowhere; show what would be written")
}

// setup is one run of the command.
type setup struct {
	setupFlags
	given    func(flag string) bool
	dialogue *dialogue
	out      io.Writer
	stderr   io.Writer

	place     crowdsec.Config
	blocked   bool // CrowdSec would start no plugin as it is
	document  config.Document
	secrets   []string // the files that placeSecrets made
	madeState bool     // the state folder is new
	undo      []string // commands
}

func (s *setup) run(ctx context.Context) error {
	if err := s.look(); err != nil {
		return err
	}
	if err := s.gather(ctx); err != nil {
		return err
	}
	if err := s.identify(ctx); err != nil {
		return err
	}
	if s.dryRun {
		return s.show(ctx)
	}
	if err := s.follow(ctx); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		s.removeSecrets()
		s.removeBouncer(ctx)
		return err
	}
	if !s.noCheck {
		if err := s.try(ctx); err != nil {
			return err
		}
	}
	err := s.profiles(ctx)
	s.goodbye()
	return err
}

// look finds out where things are, and refuses what cannot end well before
// anything is asked.
func (s *setup) look() error {
	var err error
	if s.place, err = crowdsec.Load(s.crowdsec); errors.Is(err, fs.ErrPermission) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w (hint: run this on the machine of CrowdSec's Local API; --crowdsec says where its config.yaml is)", err)
	}
	if s.file == "" {
		s.file = filepath.Join(s.place.NotificationDir, "stormshield.yaml")
	}
	if s.file, err = filepath.Abs(s.file); err != nil {
		return err
	}
	if s.secretsDir != "" {
		if s.secretsDir, err = filepath.Abs(s.secretsDir); err != nil {
			return err
		}
	}
	if err := s.flagFaults(); err != nil {
		return err
	}
	if _, err := os.Lstat(s.file); err == nil {
		return fmt.Errorf("%s exists, and nothing is overwritten (hint: try it with `crowdsec-stormshield check -c %[1]s`; for a second appliance give another file with -c and another --name)", s.file)
	}
	if !s.place.Reads(s.file) {
		return usageError{fmt.Errorf("CrowdSec would not read %s: it takes *.yaml of %s", s.file, s.place.NotificationDir)}
	}
	taken, err := s.place.FindNotification(s.name)
	if err != nil {
		return err
	}
	if taken != "" {
		return fmt.Errorf("the name %s is taken by %s (hint: for a second appliance give another --name)", s.name, taken)
	}
	if err := unix.Access(s.place.NotificationDir, unix.W_OK); err != nil && !errors.Is(err, unix.ENOENT) && !s.dryRun {
		return &fs.PathError{Op: "write to", Path: s.place.NotificationDir, Err: err}
	}
	s.warnOfCrowdSec()
	return nil
}

// warnOfCrowdSec tells what keeps CrowdSec from running the plugin.
func (s *setup) warnOfCrowdSec() {
	if !s.place.LocalAPI {
		s.warn("CrowdSec's Local API, which alone sends notifications, does not run here, says %s (hint: run this where it runs)", s.place.File)
	}
	faults := s.place.PluginFaults(pluginName)
	for _, fault := range faults {
		s.warn("%v", fault)
	}
	if s.blocked = len(faults) > 0; s.blocked {
		s.warn("so CrowdSec would not start with this notification (hint: in %s, set plugin_dir under config_paths to "+
			"/usr/lib/crowdsec-stormshield/plugins, a folder of the package that holds this plugin alone, unless you need others beside it; "+
			"and user: nobody, group: nogroup or nobody, under plugin_config)", s.place.File)
	}
}

func (s *setup) warn(format string, values ...any) {
	fmt.Fprintf(s.stderr, "warning: "+format+"\n", values...)
}
