package shell

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// Refusal is how the appliance refused a login.
type Refusal int

const (
	// Refused says that the appliance refused the account, its password or its key.
	Refused Refusal = iota
	// Dropped says that the appliance ended the connection after a secret was used.
	Dropped
	// WantsMore says that the appliance asked for more than the configured
	// credentials, which may be right.
	WantsMore
	// NoMethod says that the appliance accepts none of the configured login methods.
	NoMethod
)

// AuthError says that the appliance refused the login. Another attempt may lock the
// account.
type AuthError struct {
	Refusal Refusal

	reason string
	cause  error
}

func (e *AuthError) Error() string { return e.reason }

func (e *AuthError) Unwrap() error { return e.cause }

// login is one login. It sends the password at most once, because a server that
// accepts both `password` and `keyboard-interactive` would count two failures for one
// wrong password.
type login struct {
	password string
	signer   ssh.Signer // nil: no key
	conn     *watchedConn

	methods   []string // the methods that the server still accepts
	accepted  []string // the methods that succeeded and were not enough
	last      string   // the method that began last
	proof     string   // describes the last use of a secret
	sent      bool     // the password was sent
	questions []string // questions that were answered with the password
	asked     []string // questions without an answer
}

var (
	errNoAnswer   = errors.New("no answer is configured")
	errAskedAgain = errors.New("the appliance asked for the password again")
)

func newLogin(c Config) (*login, error) {
	l := &login{password: c.Password}
	if c.PrivateKeyPath == "" {
		return l, nil
	}
	pem, err := os.ReadFile(c.PrivateKeyPath)
	if err != nil {
		return nil, fmt.Errorf("read the private key (ssh_private_key_path): %w", err)
	}
	var signer ssh.Signer
	if c.PrivateKeyPassphrase != "" {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(pem, []byte(c.PrivateKeyPassphrase))
	} else {
		signer, err = ssh.ParsePrivateKey(pem)
	}
	if err != nil {
		return nil, fmt.Errorf("read the private key %s (ssh_private_key_path, ssh_private_key_passphrase): %w", c.PrivateKeyPath, err)
	}
	algorithms, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, fmt.Errorf("read the private key %s (ssh_private_key_path): keys of the type %s cannot be used",
			c.PrivateKeyPath, signer.PublicKey().Type())
	}
	l.signer = &recordingSigner{algorithms, l}
	return l, nil
}

// chooseMethod chooses the next method that the server accepts: the key, then the password.
// The password is sent by `keyboard-interactive` only if the server does not accept
// `password`. Without a next method the handshake ends.
func (l *login) chooseMethod(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.methods, l.accepted = c.AllowedMethods, c.PartialSuccessMethods
	begin := func(name string, method ssh.AuthMethod) (ssh.AuthMethod, error) {
		l.last = name
		return method, nil
	}
	used := slices.Concat(c.TriedMethods, c.PartialSuccessMethods)
	switch {
	case l.conn.ended.Load() || len(l.asked) > 0:
	case l.signer != nil && slices.Contains(l.methods, "publickey") && !slices.Contains(used, "publickey"):
		return begin("publickey", ssh.PublicKeys(l.signer))
	case l.password == "" || l.sent:
	case slices.Contains(l.methods, "password"):
		return begin("password", ssh.PasswordCallback(func() (string, error) { return l.send(), nil }))
	case slices.Contains(l.methods, "keyboard-interactive") && !slices.Contains(used, "keyboard-interactive"):
		return begin("keyboard-interactive", ssh.KeyboardInteractive(l.answer))
	}
	return nil, nil
}

func (l *login) send() string {
	l.sent, l.proof = true, "the password was sent"
	return l.password
}

// answer answers a single question with hidden input by the password. It answers no
// other question.
func (l *login) answer(_, _ string, questions []string, echos []bool) ([]string, error) {
	switch {
	case len(questions) == 0:
		return nil, nil
	case l.sent && slices.Equal(questions, l.questions):
		return nil, errAskedAgain
	case l.sent || len(questions) > 1 || echos[0]:
		l.asked = questions
		return nil, errNoAnswer
	}
	l.questions = questions
	return []string{l.send()}, nil
}

// explain returns an [AuthError] for an error that means a refused login. If this
// program ended the connection, the appliance did not refuse the login.
func (l *login) explain(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return err
	}
	text := err.Error() // x/crypto/ssh has no types for these
	refused := strings.Contains(text, "unable to authenticate")
	more := func(what string) error {
		return &AuthError{Refusal: WantsMore, reason: "the appliance asks for more than the configured credentials: " + what, cause: err}
	}
	switch {
	case len(l.asked) > 0:
		return more(quoteQuestions(l.asked))
	case l.sent && strings.Contains(text, "unexpected message type 60"): // SSH_MSG_USERAUTH_PASSWD_CHANGEREQ
		return more("a new password, because the password has expired or must be changed")
	case refused && len(l.accepted) > 0 && l.accepted[len(l.accepted)-1] == l.last:
		return more(fmt.Sprintf("%s, after %s was accepted", printMethods(l.methods), secretOf(l.last)))
	case refused && l.last == "":
		return &AuthError{Refusal: NoMethod, reason: "the appliance accepts none of the configured login methods; it accepts " + printMethods(l.methods), cause: err}
	case refused, errors.Is(err, errAskedAgain), strings.Contains(text, "oo many authentication failures"):
		return &AuthError{reason: "the appliance refused the SSH account, its password or its key", cause: err}
	case l.proof != "":
		return &AuthError{Refusal: Dropped, cause: err,
			reason: fmt.Sprintf("the appliance ended the connection after %s, which counts as a refused login: %v", l.proof, err)}
	}
	return err
}

func secretOf(method string) string {
	if method == "publickey" {
		return "the key"
	}
	return "the password"
}

// printMethods returns methods. Their names are ASCII (RFC 4250, section 4.6.1); the appliance may send any text.
func printMethods(methods []string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, strings.Join(methods, ", "))
}

// quoteQuestions returns the questions of the appliance in quotes, because they may be any text.
func quoteQuestions(questions []string) string {
	var all []string
	for _, q := range questions[:min(len(questions), 5)] {
		all = append(all, fmt.Sprintf("%.80q", strings.TrimSpace(q)))
	}
	return strings.Join(all, ", ")
}

// recordingSigner records that the key was used.
type recordingSigner struct {
	ssh.AlgorithmSigner
	login *login
}

func (s *recordingSigner) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s.login.proof = "the key was used"
	return s.AlgorithmSigner.SignWithAlgorithm(random, data, algorithm)
}

// watchedConn knows whether the connection has ended. x/crypto/ssh then still tries
// the next method, and would use the password for nothing.
type watchedConn struct {
	net.Conn
	ended atomic.Bool
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.ended.Store(true)
	}
	return n, err
}
