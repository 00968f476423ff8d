package snstest

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshGrace is how long a connection may take to log in, as OpenSSH's LoginGraceTime.
const sshGrace = 2 * time.Minute

func (a *Appliance) serveSSH() {
	for {
		conn, err := a.sshGate.Accept()
		if err != nil {
			return
		}
		a.owned.Go(func() { a.serveConn(conn) })
	}
}

func (a *Appliance) serveConn(conn net.Conn) {
	defer conn.Close()
	hangs := func(f *Faults) bool { return f.SSHHang }
	if f, _ := a.faults.now(); f.SSHHang && !a.pause(nil, hangs) {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(sshGrace))
	server, channels, requests, err := ssh.NewServerConn(conn, a.sshConfig())
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	a.lockout.passed()
	a.counters.count(func(s *Stats) { s.SSHAuthOK++ })

	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	a.owned.Go(func() { ssh.DiscardRequests(requests) })
	for offer := range channels {
		if offer.ChannelType() != "session" {
			_ = offer.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, asked, err := offer.Accept()
		if err != nil {
			break
		}
		a.owned.Go(func() { a.serveChannel(ctx, conn, channel, asked) })
	}
	_ = server.Close()
}

// sshConfig offers the authentication methods and algorithms that the switches leave.
func (a *Appliance) sshConfig() *ssh.ServerConfig {
	f, _ := a.faults.now()
	config := &ssh.ServerConfig{
		MaxAuthTries:      a.options.MaxAuthTries,
		ServerVersion:     "SSH-2.0-OpenSSH_9.7",
		PublicKeyCallback: a.publicKey,
		AuthLogCallback:   a.authenticated,
	}
	if !f.NoPassword && !f.PublicKeyOnly {
		config.PasswordCallback = func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return nil, a.sshPassword(meta, string(password))
		}
	}
	if !f.NoKeyboardInteractive && !f.PublicKeyOnly {
		config.KeyboardInteractiveCallback = a.keyboardInteractive
	}
	if f.LegacyAlgorithmsOnly {
		config.KeyExchanges = []string{ssh.InsecureKeyExchangeDH1SHA1, ssh.InsecureKeyExchangeDH14SHA1}
		config.Ciphers = []string{ssh.InsecureCipherAES128CBC, ssh.InsecureCipherTripleDESCBC}
		config.MACs = []string{ssh.HMACSHA1, ssh.InsecureHMACSHA196}
		config.ServerVersion = "SSH-2.0-OpenSSH_5.8"
	}
	config.AddHostKey(a.hostKeys.current(f.LegacyAlgorithmsOnly))
	return config
}

var errRefused = errors.New("authentication refused")

func (a *Appliance) sshPassword(meta ssh.ConnMetadata, password string) error {
	a.counters.count(func(s *Stats) { s.CredentialsSeen++ })
	if ok, _ := a.lockout.try(meta.User() == a.options.User, password); !ok {
		return errRefused
	}
	return nil
}

func (a *Appliance) keyboardInteractive(meta ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	answers, err := ask("", "", []string{"Password:"}, []bool{false})
	if err != nil {
		return nil, err
	}
	if len(answers) != 1 {
		return nil, errRefused
	}
	return nil, a.sshPassword(meta, answers[0])
}

// publicKey is asked about each key offered. A refused key is no failed log-in: clients offer several.
func (a *Appliance) publicKey(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	a.counters.count(func(s *Stats) { s.CredentialsSeen++ })
	if a.lockout.locked() > 0 || meta.User() != a.options.User || !a.hostKeys.authorized(key) {
		return nil, errRefused
	}
	return nil, nil
}

func (a *Appliance) authenticated(_ ssh.ConnMetadata, method string, err error) {
	if err != nil && method != "none" {
		a.counters.count(func(s *Stats) { s.SSHAuthFailed++ })
	}
}
