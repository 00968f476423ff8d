package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/config"
)

// flagFaults begins the document with what is never asked, and checks it.
func (s *setup) flagFaults() error {
	d := config.Default()
	d.Name, d.StateDir = s.name, s.stateDir
	d.Stormshield.SSHPort, d.Stormshield.APIPort = s.sshPort, s.apiPort
	d.Stormshield.ConfigDir, d.Stormshield.SSHLegacyAlgorithms = s.configDir, s.sshLegacyAlgorithms
	d.Stormshield.SSHHostKey = s.sshHostKey
	s.document = d
	if s.apiCertFingerprint != "" {
		if _, err := config.ParseFingerprint(s.apiCertFingerprint); err != nil {
			return usageError{fmt.Errorf("--api-cert-fingerprint: %w", err)}
		}
	}
	for _, f := range []struct{ key, flag, value string }{
		{"name", "name", s.name}, {"state_dir", "state-dir", s.stateDir}, {"stormshield.config_dir", "config-dir", s.configDir},
		{"stormshield.ssh_port", "ssh-port", ""}, {"stormshield.api_port", "api-port", ""}, {"stormshield.ssh_host_key", "ssh-host-key", s.sshHostKey},
	} {
		if f.flag == "ssh-host-key" && f.value == "" {
			continue
		}
		if err := errors.Join(usable(f.value), withoutDollar(f.value), s.fault(f.key)); err != nil {
			return usageError{fmt.Errorf("--%s: %w", f.flag, err)}
		}
	}
	return nil
}

// fault is what is wrong with a key of the document so far.
func (s *setup) fault(key string) error {
	var faulty *config.Error
	if !errors.As(s.document.Validate(), &faulty) {
		return nil
	}
	for _, fault := range faulty.Faults {
		if fault.Key == key {
			return fmt.Errorf("%s; %s", fault.Problem, fault.Hint)
		}
	}
	return nil
}

// usable refuses an answer that would not arrive at the plugin as it is.
func usable(answer string) error {
	switch {
	case !utf8.ValidString(answer):
		return errors.New("is not text in UTF-8")
	case strings.ContainsFunc(answer, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff' }):
		return errors.New("holds a line break or a control character")
	}
	return nil
}

// withoutDollar refuses an answer that CrowdSec may change.
func withoutDollar(answer string) error {
	if strings.Contains(answer, "$") {
		return errors.New("holds a $, which CrowdSec may replace, and nothing escapes it; " +
			"choose a password without $, or put it into a file with --secrets-dir")
	}
	return nil
}

// question is one thing that must be known.
type question struct {
	asks   string
	flag   string
	hidden bool
	// usual is what an empty answer means; optional, that it may mean nothing.
	usual    string
	optional bool
	// key is the key of the document that take sets.
	key  string
	take func(answer string)
	// check looks at what was taken, beyond the document's own rules; nil: nothing.
	check func() error
}

// gather asks for everything that flags do not answer.
func (s *setup) gather(ctx context.Context) error {
	if !s.yes {
		fmt.Fprintf(s.out, "This sets up one appliance, in %s.\nNothing is written before you have seen what the appliance shows of itself.\n\n", s.file)
	}
	d := &s.document.Stormshield
	for _, ask := range []func() error{
		func() error {
			return s.answer(ctx, question{asks: "Address or name of the appliance", flag: "host", key: "stormshield.host",
				take: func(a string) { d.Host = strings.TrimSuffix(strings.TrimPrefix(a, "["), "]") }}, s.host)
		},
		func() error {
			return s.answer(ctx, question{asks: "Account for SSH", flag: "ssh-username", usual: d.SSHUsername, key: "stormshield.ssh_username",
				take: func(a string) { d.SSHUsername = a }}, s.sshUsername)
		},
		func() error { return s.gatherSSHSecret(ctx) },
		func() error {
			return s.answer(ctx, question{asks: "Account for the API", flag: "api-username", usual: d.SSHUsername, key: "stormshield.api_username",
				take: func(a string) { d.APIUsername = a }}, s.apiUsername)
		},
		func() error { return s.gatherAPIPassword(ctx) },
		func() error { return s.gatherNeverBlock(ctx) },
	} {
		if err := ask(); err != nil {
			return err
		}
	}
	return nil
}

func (s *setup) gatherSSHSecret(ctx context.Context) error {
	d := &s.document.Stormshield
	password := question{asks: "Password for SSH, not shown (Enter: use a private key)", flag: "ssh-password-file", hidden: true, optional: true,
		key: "stormshield.ssh_password", take: func(a string) { d.SSHPassword = config.Secret(a) }}
	if s.sshPrivateKeyPath != "" {
		if err := s.gatherKey(ctx); err != nil || s.sshPasswordFile == "" {
			return err
		}
	}
	if s.sshPasswordFile != "" {
		return s.answerFromFile(password, s.sshPasswordFile)
	}
	if err := s.answer(ctx, password, ""); err != nil || d.SSHPassword != "" {
		return err
	}
	return s.gatherKey(ctx)
}

// gatherKey asks for a private key, and for its passphrase if it has one.
func (s *setup) gatherKey(ctx context.Context) error {
	d := &s.document.Stormshield
	locked := false
	key := question{asks: "File of the private key", flag: "ssh-private-key-path", key: "stormshield.ssh_private_key_path",
		take: func(a string) { d.SSHPrivateKeyPath = a },
		check: func() error {
			err := readKey(d.SSHPrivateKeyPath, "")
			var missing *ssh.PassphraseMissingError
			if locked = errors.As(err, &missing); locked {
				return nil
			}
			return err
		}}
	if err := s.answer(ctx, key, s.sshPrivateKeyPath); err != nil || !locked {
		return err
	}
	phrase := question{asks: "Passphrase of the key, not shown", flag: "ssh-private-key-passphrase-file", hidden: true,
		key: "stormshield.ssh_private_key_passphrase", take: func(a string) { d.SSHPrivateKeyPassphrase = config.Secret(a) },
		check: func() error { return readKey(d.SSHPrivateKeyPath, d.SSHPrivateKeyPassphrase.Reveal()) }}
	if s.sshPassphraseFile != "" {
		return s.answerFromFile(phrase, s.sshPassphraseFile)
	}
	return s.answer(ctx, phrase, "")
}

// readKey looks whether a private key can be read, with a passphrase unless that
// is "".
func readKey(path, passphrase string) error {
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

func (s *setup) gatherAPIPassword(ctx context.Context) error {
	d := &s.document.Stormshield
	q := question{asks: "Password for the API, not shown", flag: "api-password-file", hidden: true, key: "stormshield.api_password",
		take: func(a string) { d.APIPassword = config.Secret(a) }}
	if s.apiPasswordFile != "" {
		return s.answerFromFile(q, s.apiPasswordFile)
	}
	if q.usual = d.SSHPassword.Reveal(); q.usual != "" {
		q.asks += " (Enter: that for SSH)"
	}
	return s.answer(ctx, q, "")
}

func (s *setup) gatherNeverBlock(ctx context.Context) error {
	d := &s.document.Decisions
	words := d.NeverBlock
	return s.answer(ctx, question{
		asks: "Addresses or prefixes of your own that must never be blocked, besides " + strings.Join(words, ", ") + " (Enter: none)",
		flag: "never-block", optional: true, key: "decisions.never_block",
		take: func(a string) {
			d.NeverBlock = append(append([]string{}, words...), strings.FieldsFunc(a, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })...)
		},
	}, strings.Join(s.neverBlock, ","))
}

// answer finds the answer to a question: that of its flag, the usual one, or one
// that is asked for. A human is asked until it is a good one.
func (s *setup) answer(ctx context.Context, q question, given string) error {
	if s.given(q.flag) {
		if err := s.take(q, given); err != nil {
			return usageError{fmt.Errorf("--%s: %w", q.flag, err)}
		}
		return nil
	}
	if s.yes && q.usual != "" || s.yes && q.optional && !q.hidden {
		return s.take(q, q.usual)
	}
	prompt := q.asks
	if q.usual != "" && !q.hidden {
		prompt += " [" + q.usual + "]"
	}
	for {
		answer, err := s.dialogue.ask(ctx, prompt, q.hidden)
		if err != nil {
			return fmt.Errorf("%w before an answer to %q; nothing was written (hint: a script answers it with --%s)", err, q.asks, q.flag)
		}
		if !q.hidden {
			answer = strings.TrimSpace(answer)
		}
		if answer == "" {
			answer = q.usual
		}
		err = s.take(q, answer)
		if err == nil {
			return nil
		}
		if !s.dialogue.human() {
			return fmt.Errorf("%s: %w", q.asks, err)
		}
		fmt.Fprintf(s.out, "  That will not do: %v\n", err)
	}
}

// take puts an answer into the document, or says why it cannot be one.
func (s *setup) take(q question, answer string) error {
	if err := usable(answer); err != nil {
		return err
	}
	if !q.hidden || s.secretsDir == "" { // each hidden answer is a secret
		if err := withoutDollar(answer); err != nil {
			return err
		}
	}
	q.take(answer)
	if answer == "" && q.optional {
		return nil
	}
	if answer == "" {
		return errors.New("is needed")
	}
	if err := s.fault(q.key); err != nil || q.check == nil {
		return err
	}
	return q.check()
}

// answerFromFile takes a secret from a file, without the end of its line.
func (s *setup) answerFromFile(q question, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--%s: %w", q.flag, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 1<<12))
	if err == nil {
		secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		if secret == "" {
			err = errors.New("is empty")
		} else {
			err = s.take(q, secret)
		}
	}
	if err != nil {
		return fmt.Errorf("--%s %s: %w", q.flag, path, err)
	}
	return nil
}
