package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/config"
)

// beginDocument makes the document with the values that only flags change, and checks these flags.
func (s *setup) beginDocument() error {
	d := config.Default()
	d.Name, d.StateDir = s.Name, s.StateDir
	d.Stormshield.SSHPort, d.Stormshield.APIPort = s.SSHPort, s.APIPort
	d.Stormshield.ConfigDir, d.Stormshield.SSHLegacyAlgorithms = s.ConfigDir, s.SSHLegacyAlgorithms
	d.Stormshield.SSHHostKey = s.SSHHostKey
	s.document = d
	if s.APICertFingerprint != "" {
		if _, err := config.ParseFingerprint(s.APICertFingerprint); err != nil {
			return UsageError{fmt.Errorf("--api-cert-fingerprint: %w", err)}
		}
	}
	for _, f := range []struct{ key, flag, value string }{
		{"name", "name", s.Name}, {"state_dir", "state-dir", s.StateDir}, {"stormshield.config_dir", "config-dir", s.ConfigDir},
		{"stormshield.ssh_port", "ssh-port", ""}, {"stormshield.api_port", "api-port", ""}, {"stormshield.ssh_host_key", "ssh-host-key", s.SSHHostKey},
	} {
		if f.flag == "ssh-host-key" && f.value == "" {
			continue
		}
		if err := errors.Join(checkText(f.value), checkDollar(f.value), s.documentFault(f.key)); err != nil {
			return UsageError{fmt.Errorf("--%s: %w", f.flag, err)}
		}
	}
	return nil
}

// askForAnswers asks for everything that flags leave open.
func (s *setup) askForAnswers(ctx context.Context) error {
	if !s.Yes {
		fmt.Fprintf(s.Out, "This sets up one appliance, in %s.\nNothing is written before you have confirmed the appliance's fingerprints.\n\n", s.File)
	}
	for _, ask := range []func(context.Context) error{
		s.askForHost, s.askForSSH, s.askForSSHAccount, s.askForSSHSecret, s.askForAPIAccount, s.askForAPIPassword, s.askForNeverBlock,
		s.askForEnforcement, s.askForSharing,
	} {
		if err := ask(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *setup) askForHost(ctx context.Context) error {
	return s.answer(ctx, question{prompt: "Address or name of the appliance", flag: "host", key: "stormshield.host",
		set: func(a string) { s.document.Stormshield.Host = strings.TrimSuffix(strings.TrimPrefix(a, "["), "]") }}, s.Host)
}

// askForSSH asks whether the plugin uses SSH. A flag of sshFlags answers yes, and --no-ssh answers no.
func (s *setup) askForSSH(ctx context.Context) error {
	for _, flag := range sshFlags {
		if !s.Given(flag) || flag == "enforce" && strings.EqualFold(s.Enforce, "blacklist") {
			continue
		}
		if s.NoSSH {
			return UsageError{fmt.Errorf("--no-ssh and --%s exclude each other", flag)}
		}
		return nil
	}
	given := "yes"
	if s.NoSSH {
		given = "no"
	}
	if !s.Yes && !s.NoSSH {
		fmt.Fprint(s.Out, aboutSSH)
	}
	answer := ""
	err := s.answer(ctx, question{prompt: "Use SSH, yes or no", flag: "no-ssh", usual: "yes", set: func(a string) { answer = strings.ToLower(a) },
		check: func() error { return checkYesNo(answer) }}, given)
	if s.NoSSH = strings.HasPrefix(answer, "n"); s.NoSSH && err == nil {
		s.document.SetDefaultsWithoutSSH()
	}
	return err
}

// sshFlags are the flags that only SSH needs.
var sshFlags = []string{"ssh-username", "ssh-password-file", "ssh-private-key-path", "ssh-private-key-passphrase-file", "ssh-host-key",
	"ssh-legacy-algorithms", "ssh-port", "enforce", "rule-action", "rule-direction", "install-rule"}

const aboutSSH = `
With SSH the plugin also writes objects and groups. It blocks addresses and ranges.
Without SSH it works over the API alone: it blocks single addresses, refuses ranges,
and enforces at most 2,000 bans, unless you set max_bans.
`

func (s *setup) askForSSHAccount(ctx context.Context) error {
	if s.NoSSH {
		return nil
	}
	d := &s.document.Stormshield
	return s.answer(ctx, question{prompt: "Account for SSH", flag: "ssh-username", usual: d.SSHUsername, key: "stormshield.ssh_username",
		set: func(a string) { d.SSHUsername = a }}, s.SSHUsername)
}

func (s *setup) askForAPIAccount(ctx context.Context) error {
	d := &s.document.Stormshield
	return s.answer(ctx, question{prompt: "Account for the API", flag: "api-username", usual: d.SSHUsername, key: "stormshield.api_username",
		set: func(a string) { d.APIUsername = a }}, s.APIUsername)
}

func (s *setup) askForSSHSecret(ctx context.Context) error {
	if s.NoSSH {
		return nil
	}
	d := &s.document.Stormshield
	password := question{prompt: "Password for SSH, not shown (Enter: use a private key)", flag: "ssh-password-file", hidden: true, optional: true,
		key: "stormshield.ssh_password", set: func(a string) { d.SSHPassword = config.Secret(a) }}
	if s.SSHPrivateKeyPath != "" {
		if err := s.askForKey(ctx); err != nil || s.SSHPasswordFile == "" {
			return err
		}
	}
	if s.SSHPasswordFile != "" {
		return s.answerFromFile(password, s.SSHPasswordFile)
	}
	if err := s.answer(ctx, password, ""); err != nil || d.SSHPassword != "" {
		return err
	}
	return s.askForKey(ctx)
}

// askForKey asks for a private key, and for its passphrase if it has one.
func (s *setup) askForKey(ctx context.Context) error {
	d := &s.document.Stormshield
	locked := false
	key := question{prompt: "File of the private key", flag: "ssh-private-key-path", key: "stormshield.ssh_private_key_path",
		set: func(a string) { d.SSHPrivateKeyPath = a },
		check: func() error {
			err := checkPrivateKey(d.SSHPrivateKeyPath, "")
			var missing *ssh.PassphraseMissingError
			if locked = errors.As(err, &missing); locked {
				return nil
			}
			return err
		}}
	if err := s.answer(ctx, key, s.SSHPrivateKeyPath); err != nil || !locked {
		return err
	}
	passphrase := question{prompt: "Passphrase of the key, not shown", flag: "ssh-private-key-passphrase-file", hidden: true,
		key: "stormshield.ssh_private_key_passphrase", set: func(a string) { d.SSHPrivateKeyPassphrase = config.Secret(a) },
		check: func() error { return checkPrivateKey(d.SSHPrivateKeyPath, d.SSHPrivateKeyPassphrase.Reveal()) }}
	if s.SSHPassphraseFile != "" {
		return s.answerFromFile(passphrase, s.SSHPassphraseFile)
	}
	return s.answer(ctx, passphrase, "")
}

// checkPrivateKey returns an error if a private key cannot be read with a passphrase; "": without one.
func checkPrivateKey(path, passphrase string) error {
	pem, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	if passphrase == "" {
		_, err = ssh.ParsePrivateKey(pem)
	} else {
		_, err = ssh.ParsePrivateKeyWithPassphrase(pem, []byte(passphrase))
	}
	if err != nil {
		return fmt.Errorf("does not open the private key: %w", err)
	}
	return nil
}

func (s *setup) askForAPIPassword(ctx context.Context) error {
	d := &s.document.Stormshield
	q := question{prompt: "Password for the API, not shown", flag: "api-password-file", hidden: true, key: "stormshield.api_password",
		set: func(a string) { d.APIPassword = config.Secret(a) }}
	if s.APIPasswordFile != "" {
		return s.answerFromFile(q, s.APIPasswordFile)
	}
	if q.usual = d.SSHPassword.Reveal(); q.usual != "" {
		q.prompt += " (Enter: that for SSH)"
	}
	return s.answer(ctx, q, "")
}

func (s *setup) askForNeverBlock(ctx context.Context) error {
	d := &s.document.Decisions
	defaults := d.NeverBlock
	return s.answer(ctx, question{
		prompt: "Addresses or prefixes of your own that must never be blocked, besides " + strings.Join(defaults, ", ") + " (Enter: none)",
		flag:   "never-block", optional: true, key: "decisions.never_block",
		set: func(a string) {
			d.NeverBlock = append(append([]string{}, defaults...), strings.FieldsFunc(a, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })...)
		},
	}, strings.Join(s.NeverBlock, ","))
}
