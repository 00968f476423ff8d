package snstest

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshGrace is the time for a login, as OpenSSH's LoginGraceTime.
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
	if f, _ := a.faults.current(); f.SSHHang && !a.pause(nil, hangs) {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(sshGrace))
	server, channels, requests, err := ssh.NewServerConn(conn, a.sshConfig(conn))
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	a.lockout.forgetFailures()
	a.counters.count(func(s *Stats) { s.SSHAuthOK++ })
	changes := &sshSpan{span: a.overlaps.begin(writerOf(server.User(), conn.RemoteAddr()))}

	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	a.owned.Go(func() { a.answerRequests(ctx, requests) })
	var open atomic.Int32
	for offer := range channels {
		f, _ := a.faults.current()
		switch {
		case offer.ChannelType() != "session":
			_ = offer.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		case f.SSHMaxSessions > 0 && int(open.Load()) >= f.SSHMaxSessions:
			_ = offer.Reject(ssh.ConnectionFailed, "open failed")
			continue
		}
		channel, asked, err := offer.Accept()
		if err != nil {
			break
		}
		open.Add(1)
		a.owned.Go(func() {
			a.serveChannel(ctx, conn, channel, asked, changes)
			time.AfterFunc(sessionLingers, func() { open.Add(-1) })
		})
	}
	_ = server.Close()
}

// sessionLingers is how long a closed session counts towards SSHMaxSessions.
const sessionLingers = 100 * time.Millisecond

// answerRequests refuses every global request. For keepalive@openssh.com a refusal is the answer that clients expect.
func (a *Appliance) answerRequests(ctx context.Context, requests <-chan *ssh.Request) {
	for request := range requests {
		if a.waitWhile(ctx.Done(), func(f *Faults) bool { return f.SSHHang }) && request.WantReply {
			_ = request.Reply(false, nil)
		}
	}
}

// sshConfig offers the authentication methods, keys and algorithms that the faults leave.
func (a *Appliance) sshConfig(conn net.Conn) *ssh.ServerConfig {
	f, _ := a.faults.current()
	l := &sshLogin{a, f, conn}
	config := &ssh.ServerConfig{
		MaxAuthTries:              mostSSHAttempts,
		ServerVersion:             "SSH-2.0-OpenSSH_9.7",
		PublicKeyCallback:         a.publicKey,
		VerifiedPublicKeyCallback: l.signed,
		AuthLogCallback:           a.authenticated,
	}
	if !f.NoPassword && !f.PublicKeyOnly {
		config.PasswordCallback = l.password
	}
	if !f.NoKeyboardInteractive && !f.PublicKeyOnly {
		config.KeyboardInteractiveCallback = l.interactive
	}
	if f.LegacyAlgorithmsOnly {
		config.KeyExchanges = []string{ssh.InsecureKeyExchangeDH1SHA1, ssh.InsecureKeyExchangeDH14SHA1}
		config.Ciphers = []string{ssh.InsecureCipherAES128CBC, ssh.InsecureCipherTripleDESCBC}
		config.MACs = []string{ssh.HMACSHA1, ssh.InsecureHMACSHA196}
		config.ServerVersion = "SSH-2.0-OpenSSH_5.8"
	}
	for _, key := range a.hostKeys.signers(f) {
		config.AddHostKey(key)
	}
	return config
}
