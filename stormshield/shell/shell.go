// Package shell runs commands on an appliance over SSH.
//
// It knows nothing of bans or of files. It never trusts a host key that was not
// configured, and sends a secret at most once a connection. Its main type is
// [Client]; [Dial] makes one.
//
// The login shell may be csh, so every command goes as `/bin/sh -c '…'`,
// which both families of shells read alike as long as the text holds no single
// quote, no exclamation mark and no line end; [Client.Run] refuses those.
package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// DefaultTimeout is how long a connection may stay without a byte from the
// appliance while something is asked of it.
const DefaultTimeout = time.Minute

// Config says how to reach and whom to trust.
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
	LegacyAlgorithms bool   // offer also what old firmware needs

	Timeout time.Duration // zero: DefaultTimeout
}

// Client is one SSH connection. It is not for concurrent use.
type Client struct {
	ssh   *ssh.Client
	conn  net.Conn
	host  string
	tools map[string]bool
	ended chan struct{} // closed when the connection is over
}

func (c Config) address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

func (c Config) timeout() time.Duration {
	if c.Timeout == 0 {
		return DefaultTimeout
	}
	return c.Timeout
}

// connect makes one connection. A host key that check refuses ends it before
// anything else is sent.
func (c Config) connect(ctx context.Context, login *login, check ssh.HostKeyCallback, hostKeys []string) (*Client, error) {
	dialer := &net.Dialer{Timeout: min(c.timeout(), 10*time.Second)}
	raw, err := dialer.DialContext(ctx, "tcp", c.address())
	if err != nil {
		return nil, err
	}
	conn := &patientConn{Conn: raw, patience: c.timeout()}
	login.conn = &watchedConn{Conn: conn}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	config := &ssh.ClientConfig{
		User:              c.User,
		AuthCallback:      login.next,
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
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	client := &Client{ssh: ssh.NewClient(sshConn, channels, requests), conn: raw, host: c.Host, ended: make(chan struct{})}
	go func() { // until Close, or until the connection breaks
		_ = client.ssh.Wait()
		close(client.ended)
	}()
	return client, nil
}

// session opens a session. x/crypto/ssh waits for ever for one that is asked for
// at the very moment at which the connection ends (mux.openChannel).
func (c *Client) session() (*ssh.Session, error) {
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

// Host is the appliance as it was configured.
func (c *Client) Host() string { return c.host }

// Close ends the connection.
func (c *Client) Close() error { return c.ssh.Close() }

// Server tells what the appliance's SSH server calls itself, and by what
// algorithms this connection is kept: key exchange, host key, cipher.
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
	session, err := c.session()
	if err != nil {
		return false, c.broken(ctx, err)
	}
	defer func() { _ = session.Close() }() // it was not to do anything
	return session.RequestSubsystem(name) == nil, nil
}

// ExitError says that a command ran and failed.
type ExitError struct {
	Status int
	Stderr string // its first line
}

func (e *ExitError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return fmt.Sprintf("exit status %d: %s", e.Status, e.Stderr)
}

// Run runs a script under /bin/sh with the given standard input, which may be
// nil, and returns its standard output. A script that ends with another status
// than 0 is an [ExitError].
func (c *Client) Run(ctx context.Context, script string, stdin io.Reader) ([]byte, error) {
	if strings.ContainsAny(script, "'!\n\r\x00") {
		return nil, fmt.Errorf("script %q cannot pass through every login shell", script)
	}
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	session, err := c.session()
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	defer func() { _ = session.Close() }() // it has ended by then, or the connection is broken
	var out pieces
	var complaint bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = stdin, &out, &limited{&complaint, 4 << 10}
	err = session.Run("/bin/sh -c '" + script + "'")
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return out.bytes(), nil
	case errors.As(err, &exit) && exit.Signal() == "":
		line, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
		return out.bytes(), &ExitError{Status: exit.ExitStatus(), Stderr: strings.ToValidUTF8(line, "?")}
	}
	return nil, c.broken(ctx, err)
}

func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("the SSH connection to %s broke: %w", c.host, err)
}

// Tools are what [Client.Has] asks for.
var Tools = []string{
	"awk", "cat", "cksum", "cmp", "cp", "dd", "enobject", "grep", "gzip", "ln", "ls", "md5", "mv", "rm", "sed", "sync", "tail",
}

// Has reports whether the appliance's shell finds a tool, one of [Tools]. It
// asks once a connection.
func (c *Client) Has(ctx context.Context, tool string) (bool, error) {
	if c.tools == nil {
		probe := "for t in " + strings.Join(Tools, " ") + "; do command -v $t >/dev/null 2>&1 && echo $t; done; true"
		out, err := c.Run(ctx, probe, nil)
		if err != nil {
			return false, fmt.Errorf("ask which tools the appliance has: %w", err)
		}
		c.tools = map[string]bool{}
		for _, t := range strings.Fields(string(out)) {
			c.tools[t] = true
		}
	}
	return c.tools[tool], nil
}

// pieces collects what is written and gives it out in one slice of the right
// size: files of many megabytes come this way.
type pieces struct {
	full [][]byte
	last []byte
}

func (p *pieces) Write(b []byte) (int, error) {
	const size = 64 << 10
	for rest := b; len(rest) > 0; {
		if len(p.last) == cap(p.last) {
			if len(p.last) > 0 {
				p.full = append(p.full, p.last)
			}
			p.last = make([]byte, 0, size)
		}
		n := min(len(rest), cap(p.last)-len(p.last))
		p.last, rest = append(p.last, rest[:n]...), rest[n:]
	}
	return len(b), nil
}

func (p *pieces) bytes() []byte { return slices.Concat(append(p.full, p.last)...) }

// limited keeps the first bytes of what is written.
type limited struct {
	to   *bytes.Buffer
	room int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.room)
	l.to.Write(p[:n])
	l.room -= n
	return len(p), nil
}

// patientConn ends a connection on which nothing arrives, or nothing can be
// sent, for too long. Every flush is busy from the first byte to the last, so
// silence means a dead link.
type patientConn struct {
	net.Conn
	patience time.Duration
}

func (c *patientConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *patientConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
