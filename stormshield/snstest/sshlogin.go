package snstest

import (
	"errors"
	"net"
	"reflect"
	"unsafe" // for go:linkname, and to hand a pointer to what it links

	"golang.org/x/crypto/ssh"
)

var errRefused = errors.New("authentication refused")

// sshLogin is the login of one SSH connection, with the faults in force when the connection began.
type sshLogin struct {
	*Appliance
	faults *Faults
	conn   net.Conn
}

func (l *sshLogin) password(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	if err := l.judge(meta, string(password)); err != nil {
		return nil, err
	}
	if l.faults.LoginAnswer == "change" {
		_ = askForNewPassword(meta) // the client may be gone
		return nil, errRefused
	}
	return nil, l.wantMore()
}

func (l *sshLogin) interactive(meta ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	questions, echos := []string{"Password:"}, []bool{false}
	if l.faults.LoginAnswer == "two-questions" {
		questions, echos = append(questions, codeQuestion), append(echos, false)
	}
	answers, err := ask("", "", questions, echos)
	switch {
	case err != nil:
		return nil, err
	case len(answers) != len(questions):
		return nil, errRefused
	}
	if err := l.judge(meta, answers[0]); err != nil {
		return nil, err
	}
	if l.faults.LoginAnswer == "second-question" || l.faults.LoginAnswer == "two-questions" {
		return askForCode(meta, ask)
	}
	return nil, l.wantMore()
}

// signed is called once a signature of an authorized key was verified.
func (l *sshLogin) signed(ssh.ConnMetadata, ssh.PublicKey, *ssh.Permissions, string) (*ssh.Permissions, error) {
	if err := l.drop(); err != nil {
		return nil, err
	}
	return nil, l.wantMore()
}

// judge checks a password or an answer.
func (l *sshLogin) judge(meta ssh.ConnMetadata, password string) error {
	l.counters.count(func(s *Stats) { s.CredentialsSeen++ })
	ok, _ := l.lockout.checkPassword(l.options.hasUser(meta.User()), password)
	if err := l.drop(); err != nil {
		return err
	}
	if !ok {
		return errRefused
	}
	return nil
}

// drop ends the connection or waits, if Faults.LoginAnswer says so.
func (l *sshLogin) drop() error {
	switch l.faults.LoginAnswer {
	case "close":
	case "reset":
		if counted, ok := l.conn.(*countedConn); ok {
			if tcp, ok := counted.Conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
		}
	case "silence":
		l.pause(nil, func(f *Faults) bool { return f.LoginAnswer == "silence" })
	default:
		return nil
	}
	l.conn.Close()
	return errRefused
}

func (l *sshLogin) wantMore() error {
	if l.faults.LoginAnswer == "second-method" {
		return &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{KeyboardInteractiveCallback: askForCode}}
	}
	return nil
}

const codeQuestion = "Verification code:"

// askForCode refuses every code.
func askForCode(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	if _, err := ask("", "", []string{codeQuestion}, []bool{false}); err != nil {
		return nil, err
	}
	return nil, errRefused
}

// askForNewPassword sends SSH_MSG_USERAUTH_PASSWD_CHANGEREQ (RFC 4252, section 8), which x/crypto/ssh cannot.
func askForNewPassword(meta ssh.ConnMetadata) error {
	request := ssh.Marshal(struct {
		Prompt   string `sshtype:"60"`
		Language string
	}{"Your password has expired.", ""})
	transport := reflect.ValueOf(meta).Elem().FieldByName("transport").Elem()
	return writePacket(transport.UnsafePointer(), request)
}

//go:linkname writePacket golang.org/x/crypto/ssh.(*handshakeTransport).writePacket
func writePacket(transport unsafe.Pointer, packet []byte) error

// publicKey decides about each key that a client offers. A refused key is no failed login, because clients offer several.
func (a *Appliance) publicKey(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	a.counters.count(func(s *Stats) { s.CredentialsSeen++ })
	if a.lockout.remaining() > 0 || !a.options.hasUser(meta.User()) || !a.hostKeys.authorized(key) {
		return nil, errRefused
	}
	return nil, nil
}

func (a *Appliance) authenticated(_ ssh.ConnMetadata, method string, err error) {
	if err != nil && method != "none" {
		a.counters.count(func(s *Stats) { s.SSHAuthFailed++ })
	}
}
