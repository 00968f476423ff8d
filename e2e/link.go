package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// link forwards connections to a TCP port on loopback, and can be cut.
type link struct {
	listener net.Listener
	target   string

	mu   sync.Mutex
	down bool
	open map[net.Conn]bool
}

// newLink forwards a new port to a target, until the test ends.
func newLink(t testing.TB, target string) *link {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, target: target, open: map[net.Conn]bool{}}
	go l.serve(t.Context())
	t.Cleanup(func() {
		_ = listener.Close()
		l.cut()
	})
	return l
}

func (l *link) url() string { return "http://" + l.listener.Addr().String() }

func (l *link) serve(ctx context.Context) {
	for {
		near, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go l.carry(ctx, near)
		}
	}
}

func (l *link) carry(ctx context.Context, near net.Conn) {
	defer near.Close()
	if !l.register(near) {
		return
	}
	defer l.unregister(near)
	far, err := new(net.Dialer).DialContext(ctx, "tcp", l.target)
	if err != nil {
		return
	}
	defer far.Close()
	go func() {
		_, _ = io.Copy(far, near)
		_ = far.Close()
	}()
	_, _ = io.Copy(near, far)
}

// register remembers an open connection, so that cut can close it. It returns false while the link is cut.
func (l *link) register(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.down {
		l.open[c] = true
	}
	return !l.down
}

func (l *link) unregister(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// cut closes every connection, and refuses new ones until restore.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.open {
		_ = c.Close()
	}
}

func (l *link) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}
