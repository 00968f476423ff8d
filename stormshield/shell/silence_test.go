package shell_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/stormshield/shell"
)

// server is an SSH server whose time is that of a synctest bubble. It runs each
// command at once, and sends the output after a delay.
type server struct {
	delay          time.Duration
	silent         bool // it answers neither keepalive requests nor commands
	bytesPerSecond int  // how fast it reads; 0: at once
	silentLogin    bool // it does not answer a password

	passwords atomic.Int32
	running   sync.WaitGroup
}

// dial logs in to the server.
func (s *server) dial(ctx context.Context, timeout time.Duration) (*shell.Client, error) {
	near, far := net.Pipe()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	s.running.Go(func() { s.serve(newLink(far, s.bytesPerSecond), signer) })
	config := shell.Config{
		Host: "192.0.2.1", Port: 22, User: "admin", Password: "secret",
		HostKey: shell.Fingerprint(signer.PublicKey()), Timeout: timeout,
	}
	return shell.NewDialer(config.WithConnection(newLink(near, 0))).Dial(ctx)
}

func (s *server) serve(conn net.Conn, signer ssh.Signer) {
	defer conn.Close()
	config := &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		s.passwords.Add(1)
		if s.silentLogin {
			time.Sleep(time.Hour)
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go func() {
		for request := range requests {
			if !s.silent && request.WantReply {
				_ = request.Reply(false, nil)
			}
		}
	}()
	for channel := range channels {
		session, requests, err := channel.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() { s.run(session, requests) })
	}
}

func (s *server) run(session ssh.Channel, requests <-chan *ssh.Request) {
	for request := range requests {
		var command struct{ Text string }
		if s.silent || request.Type != "exec" || ssh.Unmarshal(request.Payload, &command) != nil {
			continue
		}
		_ = request.Reply(true, nil)
		cmd := exec.Command("/bin/sh", "-c", command.Text)
		var out, complaint bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &complaint
		_ = cmd.Run()                                          // the status is in the output
		first, rest, _ := bytes.Cut(out.Bytes(), []byte("\n")) // the marker lets the client send its input
		_, _ = session.Write(append(first, '\n'))
		time.Sleep(s.delay)
		if s.bytesPerSecond > 0 {
			_, _ = io.Copy(io.Discard, session)
		}
		_, _ = session.Write(rest)
		_, _ = session.Stderr().Write(complaint.Bytes())
		_, _ = session.SendRequest("exit-status", false, make([]byte, 4))
		session.Close()
	}
}

// link is one end of a connection. Like a socket, it accepts written bytes at once.
type link struct {
	net.Conn
	bytesPerSecond int
	queue          chan []byte
	ended          chan struct{}
	end            func()
}

func newLink(conn net.Conn, bytesPerSecond int) *link {
	l := &link{Conn: conn, bytesPerSecond: bytesPerSecond, queue: make(chan []byte, 1000), ended: make(chan struct{})}
	l.end = sync.OnceFunc(func() { close(l.ended) })
	go func() {
		for {
			select {
			case p := <-l.queue:
				_, _ = conn.Write(p) // fails if the connection has ended
			case <-l.ended:
				return
			}
		}
	}()
	return l
}

func (l *link) Write(p []byte) (int, error) {
	l.queue <- bytes.Clone(p)
	return len(p), nil
}

func (l *link) SetWriteDeadline(time.Time) error { return nil }

func (l *link) Close() error {
	l.end()
	return l.Conn.Close()
}

func (l *link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p[:min(len(p), 1000)])
	if l.bytesPerSecond > 0 {
		time.Sleep(time.Duration(n) * time.Second / time.Duration(l.bytesPerSecond))
	}
	return n, err
}

func TestOnlyAServerThatSendsNothingEndsTheConnection(t *testing.T) {
	upload := strings.Repeat("x", 64<<10)
	for name, c := range map[string]struct {
		server *server
		input  string
		silent bool
	}{
		"a command that prints nothing for 10 minutes": {server: &server{delay: 10 * time.Minute}},
		"a server that is silent before a command":     {server: &server{silent: true}, silent: true},
		"an upload that takes 26 s":                    {server: &server{bytesPerSecond: 2500}, input: upload},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer c.server.running.Wait()
				client, err := c.server.dial(t.Context(), 10*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				began := time.Now()
				out, err := client.Run(t.Context(), "echo done", strings.NewReader(c.input))
				if took := time.Since(began); c.silent {
					var silence *shell.SilenceError
					if !errors.As(err, &silence) || !strings.Contains(err.Error(), "sent nothing for 10s") || took > 11*time.Second {
						t.Errorf("after %s: %v", took, err)
					}
				} else if err != nil || string(out) != "done\n" || took < 20*time.Second {
					t.Errorf("after %s: %q, %v", took, out, err)
				}
			})
		})
	}
}

func TestALoginThatTheClientEndsDoesNotCountAsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		cancelAfter time.Duration
		want        error
	}{
		"time-out":  {time.Hour, os.ErrDeadlineExceeded},
		"cancelled": {time.Second, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				defer time.AfterFunc(c.cancelAfter, cancel).Stop()
				s := server{silentLogin: true}
				defer s.running.Wait()
				_, err := s.dial(ctx, 10*time.Second)
				if err == nil || errors.As(err, new(*shell.AuthError)) || !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
				if n := s.passwords.Load(); n != 1 {
					t.Errorf("%d passwords were sent, want 1", n)
				}
			})
		})
	}
}
