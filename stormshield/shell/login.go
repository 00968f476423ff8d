package shell

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// AuthError says that the appliance refused the login. Another attempt brings
// the account nearer to a lock-out.
type AuthError struct {
	cause error
}

func (e *AuthError) Error() string {
	return "the appliance refused the SSH account, its password or its key"
}

func (e *AuthError) Unwrap() error { return e.cause }

// login holds what proves who we are, and sends the password at most once: a
// server that takes it both as `password` and as `keyboard-interactive` would
// count two failures for one wrong password.
type login struct {
	password string
	signer   ssh.Signer
	sent     bool
}

var errPasswordSent = errors.New("the password was refused")

func newLogin(c Config) (*login, error) {
	l := &login{password: c.Password}
	if c.PrivateKeyPath == "" {
		return l, nil
	}
	pem, err := os.ReadFile(c.PrivateKeyPath)
	if err != nil {
		return nil, fmt.Errorf("read the private key (ssh_private_key_path): %w", err)
	}
	if c.PrivateKeyPassphrase != "" {
		l.signer, err = ssh.ParsePrivateKeyWithPassphrase(pem, []byte(c.PrivateKeyPassphrase))
	} else {
		l.signer, err = ssh.ParsePrivateKey(pem)
	}
	if err != nil {
		return nil, fmt.Errorf("read the private key %s (ssh_private_key_path, ssh_private_key_passphrase): %w", c.PrivateKeyPath, err)
	}
	return l, nil
}

// methods are those to begin with. The password goes as `password`; only a
// server that does not take it so is asked for keyboard-interactive, in a
// connection of its own: beginning that method after a refused password is
// already a second failure.
func (l *login) methods() []ssh.AuthMethod {
	var methods []ssh.AuthMethod
	if l.signer != nil {
		methods = append(methods, ssh.PublicKeys(l.signer))
	}
	if l.password != "" {
		methods = append(methods, ssh.PasswordCallback(l.once))
	}
	return methods
}

// interactive reports whether keyboard-interactive is worth trying after an
// error, and returns it.
func (l *login) interactive(err error) ([]ssh.AuthMethod, bool) {
	var refused *AuthError
	if l.password == "" || l.sent || !errors.As(l.explain(err), &refused) {
		return nil, false
	}
	return []ssh.AuthMethod{ssh.KeyboardInteractive(l.answer)}, true
}

func (l *login) once() (string, error) {
	if l.sent {
		return "", errPasswordSent
	}
	l.sent = true
	return l.password, nil
}

// answer gives the password to the one question that is asked in secret.
func (l *login) answer(_, _ string, questions []string, echos []bool) ([]string, error) {
	answers := make([]string, len(questions))
	for i := range questions {
		if echos[i] {
			continue
		}
		password, err := l.once()
		if err != nil {
			return nil, err
		}
		answers[i] = password
	}
	return answers, nil
}

// explain makes an [AuthError] of the ways in which x/crypto/ssh reports a
// refused login; it has no type for them.
func (l *login) explain(err error) error {
	text := err.Error()
	if errors.Is(err, errPasswordSent) || strings.Contains(text, errPasswordSent.Error()) ||
		strings.Contains(text, "unable to authenticate") || strings.Contains(text, "oo many authentication failures") {
		return &AuthError{cause: err}
	}
	return err
}
