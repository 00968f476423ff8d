package shell_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/stormshield/shell"
	"notification-stormshield/stormshield/snstest"
)

// configFor trusts the simulated appliance and logs in to it.
func configFor(sim *snstest.Appliance) shell.Config {
	return shell.Config{
		Host: sim.Host(), Port: sim.SSHPort(), User: sim.User(), Password: sim.Password(),
		HostKey: sim.HostKeyFingerprint(), Timeout: 10 * time.Second,
	}
}

// userKey makes a key and returns the file of its private part.
func userKey(t *testing.T) (ssh.PublicKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return key, path
}

// wantRefused dials, and fails the test unless the login counts as refused with this text.
func wantRefused(t *testing.T, c shell.Config, says string) *shell.AuthError {
	t.Helper()
	client, err := shell.NewDialer(c).Dial(t.Context())
	if err == nil {
		client.Close()
		t.Fatal("the login succeeded")
	}
	var refused *shell.AuthError
	if !errors.As(err, &refused) {
		t.Fatalf("the login does not count as refused: %v", err)
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("the error lacks %q: %v", says, err)
	}
	return refused
}

func TestALoginThatTheServerRefusesOrDropsCountsAsRefusedAndSendsOnePassword(t *testing.T) {
	t.Parallel()
	const (
		plainly = "the appliance refused the SSH account, its password or its key"
		dropped = "the appliance ended the connection after the password was sent"
		more    = "the appliance asks for more than the configured credentials: "
	)
	interactive := snstest.Faults{NoPassword: true}
	answer := func(f snstest.Faults, what string) snstest.Faults {
		f.LoginAnswer = what
		return f
	}
	for name, c := range map[string]struct {
		faults snstest.Faults
		wrong  bool // the password
		says   string
		how    shell.Refusal
	}{
		"wrong password":                       {snstest.Faults{}, true, plainly, shell.Refused},
		"wrong answer":                         {interactive, true, plainly, shell.Refused},
		"closed after a wrong password":        {answer(snstest.Faults{}, "close"), true, dropped, shell.Dropped},
		"closed after the right password":      {answer(snstest.Faults{}, "close"), false, dropped, shell.Dropped},
		"closed after an answer":               {answer(interactive, "close"), false, dropped, shell.Dropped},
		"reset after the password":             {answer(snstest.Faults{}, "reset"), false, dropped, shell.Dropped},
		"a new password is asked for":          {answer(snstest.Faults{}, "change"), false, more + "a new password", shell.WantsMore},
		"a second method after the password":   {answer(snstest.Faults{}, "second-method"), false, more + "keyboard-interactive, after the password was accepted", shell.WantsMore},
		"a second method after an answer":      {answer(interactive, "second-method"), false, more + "keyboard-interactive, after the password was accepted", shell.WantsMore},
		"a second question after the password": {answer(interactive, "second-question"), false, more + `"Verification code:"`, shell.WantsMore},
		"two questions at once":                {answer(interactive, "two-questions"), false, more + `"Password:", "Verification code:"`, shell.WantsMore},
		"only keys are taken":                  {snstest.Faults{PublicKeyOnly: true}, false, "the appliance accepts none of the configured login methods; it accepts publickey", shell.NoMethod},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := snstest.Start(t)
			sim.SetFaults(func(f *snstest.Faults) { *f = c.faults })
			config := configFor(sim)
			if c.wrong {
				config.Password = "wrong"
			}
			refused := wantRefused(t, config, c.says)
			if refused.Refusal != c.how {
				t.Errorf("refusal %d, want %d", refused.Refusal, c.how)
			}
			if s := sim.Stats(); s.CredentialsSeen > 1 || s.SSHConnections != 1 {
				t.Errorf("%d passwords in %d connections", s.CredentialsSeen, s.SSHConnections)
			}
		})
	}
}

func TestAConnectionThatEndsAfterASignatureCountsAsRefused(t *testing.T) {
	t.Parallel()
	sim := snstest.Start(t)
	sim.SetFaults(func(f *snstest.Faults) { f.LoginAnswer = "close" })
	config := configFor(sim)
	key, path := userKey(t)
	sim.AuthorizeKey(key)
	config.PrivateKeyPath = path
	wantRefused(t, config, "the appliance ended the connection after the key was used")
	if s := sim.Stats(); s.CredentialsSeen != 1 {
		t.Errorf("%d credentials were shown: the password followed into an ended connection", s.CredentialsSeen)
	}
}

func TestAKeyAndAPasswordTogetherLogIn(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]snstest.Faults{
		"the key alone":                {},
		"the key alone, no password":   {PublicKeyOnly: true},
		"keyboard-interactive, no key": {NoPassword: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := snstest.Start(t)
			sim.SetFaults(func(f *snstest.Faults) { *f = faults })
			config := configFor(sim)
			key, path := userKey(t)
			config.PrivateKeyPath = path
			if !faults.NoPassword {
				sim.AuthorizeKey(key)
			}
			client, err := shell.NewDialer(config).Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			client.Close()
			if n := sim.Stats().SSHConnections; n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}

func TestAConnectionThatEndsBeforeThePasswordDoesNotCountAsRefused(t *testing.T) {
	t.Parallel()
	sim := snstest.Start(t)
	config := configFor(sim)
	sim.SetFaults(func(f *snstest.Faults) { f.SSHRefuse = true })
	if _, err := shell.NewDialer(config).Dial(t.Context()); err == nil || errors.As(err, new(*shell.AuthError)) {
		t.Errorf("error %v", err)
	}
}
