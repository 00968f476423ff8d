// Package shell runs commands on an appliance over SSH. Its main type is [Client];
// [Dialer.Dial] makes one.
//
// It knows no bans and no files. It never trusts a host key that is not configured,
// and sends a secret at most once a connection.
//
// The login shell may be csh, so every command is sent as `/bin/sh -c '…'`. csh and
// sh read that alike if the text has no single quote, no exclamation mark and no line
// end; [Client.Run] refuses those. The login shell may also print text of its own, or
// run no /bin/sh at all. A frame around the output of each command detects both.
package shell

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// DefaultTimeout is how long a connection may stay without a byte from the
// appliance. The appliance answers keepalive requests while a command runs.
const DefaultTimeout = time.Minute

// Config describes an appliance and the account.
type Config struct {
	Host     string // an address or a name, without port
	Port     int
	User     string
	Password string // for password and keyboard-interactive

	PrivateKeyPath       string
	PrivateKeyPassphrase string

	HostKey          string // SHA256:… of the appliance's key
	KnownHostsPath   string // instead of HostKey
	InsecureHostKey  bool   // trust any key
	LegacyAlgorithms bool   // also offer the algorithms of old firmware

	Timeout time.Duration // zero: DefaultTimeout

	Wrap func(net.Conn) net.Conn // replaces each new connection; nil: none does

	open func(ctx context.Context, network, address string) (net.Conn, error) // nil: over TCP
}

// Client is one SSH connection. It is not for concurrent use.
type Client struct {
	ssh     *ssh.Client
	conn    *timedConn
	host    string
	framed  bool   // a command's output has arrived in its frame
	printed string // the first line that the login shell printed around the last command
	tools   map[string]ToolState
	ended   chan struct{} // closed when the connection ends

	// Permit is called before each script of Run. An error of it is Run's error, and the script is not sent. nil: nothing is called.
	Permit func() error
}

func (c Config) address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

func (c Config) timeout() time.Duration {
	if c.Timeout == 0 {
		return DefaultTimeout
	}
	return c.Timeout
}

// connect makes one connection. If check refuses the host key, it ends before
// anything else is sent.
func (c Config) connect(ctx context.Context, login *login, check ssh.HostKeyCallback, hostKeys []string) (*Client, error) {
	open := c.open
	if open == nil {
		open = (&net.Dialer{Timeout: min(c.timeout(), 10*time.Second)}).DialContext
	}
	raw, err := open(ctx, "tcp", c.address())
	if err != nil {
		return nil, err
	}
	if c.Wrap != nil {
		raw = c.Wrap(raw)
	}
	conn := &timedConn{Conn: raw, timeout: c.timeout()}
	login.conn = &watchedConn{Conn: conn}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	config := &ssh.ClientConfig{
		User:              c.User,
		AuthCallback:      login.chooseMethod,
		HostKeyCallback:   check,
		HostKeyAlgorithms: hostKeys,
		ClientVersion:     "SSH-2.0-notification-stormshield",
	}
	if c.LegacyAlgorithms {
		offerLegacy(config)
	}
	sshConn, channels, requests, err := ssh.NewClientConn(login.conn, c.address(), config)
	if err != nil {
		raw.Close()
		var silence *SilenceError
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.As(conn.failure(), &silence):
			return nil, silence
		}
		return nil, err
	}
	conn.arrived(conn.sentSoFar()) // the login was answered
	client := &Client{ssh: ssh.NewClient(sshConn, channels, requests), conn: conn, host: c.Host, ended: make(chan struct{})}
	go func() { // until Close, or until the connection breaks
		_ = client.ssh.Wait()
		close(client.ended)
	}()
	go client.keepAlive(c.timeout() / 4) // until the connection ends
	return client, nil
}

// freeWithin is how long a server may still count a closed session. sshd with
// MaxSessions 1 refuses the next session meanwhile.
const freeWithin = 3 * time.Second

// session opens a session. After a refusal it tries again for freeWithin.
func (c *Client) session(ctx context.Context) (*ssh.Session, error) {
	giveUp := time.NewTimer(freeWithin)
	defer giveUp.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		session, err := c.openSession()
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) {
			return session, err
		}
		select {
		case <-again.C:
		case <-giveUp.C:
			return nil, fmt.Errorf("the server opens no session: %w", err)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// openSession asks once. x/crypto/ssh waits for ever if the connection ends at the
// very moment of the request (mux.openChannel).
func (c *Client) openSession() (*ssh.Session, error) {
	type opened struct {
		session *ssh.Session
		err     error
	}
	answer := make(chan opened, 1)
	go func() {
		session, err := c.ssh.NewSession()
		answer <- opened{session, err}
	}()
	select {
	case o := <-answer:
		return o.session, o.err
	case <-c.ended:
		return nil, net.ErrClosed
	}
}

// Host returns the host of the configuration.
func (c *Client) Host() string { return c.host }

// Close ends the connection.
func (c *Client) Close() error { return c.ssh.Close() }

// Server returns the version of the SSH server, and the algorithms of this
// connection: key exchange, host key, cipher.
func (c *Client) Server() string {
	text := strings.ToValidUTF8(string(c.ssh.ServerVersion()), "?")
	if with, ok := c.ssh.Conn.(ssh.AlgorithmsConnMetadata); ok {
		a := with.Algorithms()
		text += fmt.Sprintf(", %s, %s, %s", a.KeyExchange, a.HostKey, a.Write.Cipher)
	}
	return text
}

// HasSubsystem reports whether the server has a subsystem, such as sftp.
func (c *Client) HasSubsystem(ctx context.Context, name string) (bool, error) {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	session, err := c.session(ctx)
	if err != nil {
		return false, c.broken(ctx, err)
	}
	defer func() { _ = session.Close() }() // nothing runs in it
	return session.RequestSubsystem(name) == nil, nil
}
