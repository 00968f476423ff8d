package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// link forwards connections to a TCP port on loopback, and can be cut.
type link struct {
	listener  net.Listener
	target    string
	roundTrip time.Duration // that the link adds
	carried   atomic.Int64  // bytes, of a link that adds time

	mu   sync.Mutex
	down bool
	open map[net.Conn]bool
}

// newLink forwards a new port to a target, until the test ends.
func newLink(t testing.TB, target string) *link {
	t.Helper()
	return newSlowLink(t, target, 0)
}

// newSlowLink is newLink with a time that each round trip takes longer.
func newSlowLink(t testing.TB, target string, roundTrip time.Duration) *link {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, target: target, roundTrip: roundTrip, open: map[net.Conn]bool{}}
	go l.serve(t.Context())
	t.Cleanup(func() {
		_ = listener.Close()
		l.cut()
	})
	return l
}

func (l *link) address() string { return l.listener.Addr().String() }
func (l *link) url() string     { return "http://" + l.address() }

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
	time.Sleep(l.roundTrip) // of the connection's handshake
	go func() {
		l.copy(far, near)
		_ = far.Close()
	}()
	l.copy(near, far)
}

// copy copies until an end of a connection. All that it reads arrives half a round trip later.
func (l *link) copy(to io.Writer, from io.Reader) {
	if l.roundTrip == 0 {
		_, _ = io.Copy(to, from)
		return
	}
	type piece struct {
		bytes []byte
		due   time.Time
	}
	pieces := make(chan piece, 1000)
	go func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 64<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				l.carried.Add(int64(n))
				pieces <- piece{buffer[:n], time.Now().Add(l.roundTrip / 2)}
			}
			if err != nil {
				return
			}
		}
	}()
	failed := false
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		if !failed {
			_, err := to.Write(p.bytes)
			failed = err != nil
		}
	}
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
