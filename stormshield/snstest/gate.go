package snstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// gate is a listener that can be shut and opened again on the same port. It counts connections and bytes at the socket.
type gate struct {
	address  string
	reserved net.Listener // does not listen: it keeps the port ours while the gate is shut
	link     *link        // nil: none is emulated
	in, out  atomic.Int64
	accepted atomic.Int64
	carriers sync.WaitGroup // of the link

	mu      sync.Mutex
	ln      net.Listener // nil while shut
	changed chan struct{}
	closed  bool
	conns   map[*countedConn]struct{}
}

func openGate(address string, l *link) (*gate, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if err := share(ln); err != nil {
		ln.Close()
		return nil, err
	}
	reserved, err := listenAgain(ln.Addr().String())
	if err != nil {
		ln.Close()
		return nil, err
	}
	stopListening(reserved)
	return &gate{
		address:  ln.Addr().String(),
		reserved: reserved,
		link:     l,
		ln:       ln,
		changed:  make(chan struct{}),
		conns:    map[*countedConn]struct{}{},
	}, nil
}

func share(ln net.Listener) error {
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	return setShared(raw)
}

// setShared lets sockets of this gate have one port together. Without SO_REUSEADDR no other program gets it while one of them is open.
func setShared(raw syscall.RawConn) error {
	var err error
	failed := raw.Control(func(fd uintptr) {
		err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 0),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	})
	return errors.Join(failed, err)
}

// listenAgain listens at an address that the gate has already.
func listenAgain(address string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return setShared(raw) }}
	return config.Listen(context.Background(), "tcp", address)
}

func (g *gate) port() int {
	addr, err := net.ResolveTCPAddr("tcp", g.address)
	if err != nil {
		return 0
	}
	return addr.Port
}

// Addr implements net.Listener.
func (g *gate) Addr() net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", g.address)
	return addr
}

// Accept implements net.Listener. It waits while the gate is shut.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.mu.Lock()
		ln, changed, closed := g.ln, g.changed, g.closed
		g.mu.Unlock()
		switch {
		case closed:
			return nil, net.ErrClosed
		case ln == nil:
			<-changed
			continue
		}
		conn, err := ln.Accept()
		if conn = g.admit(ln, conn, err); conn != nil {
			return conn, nil
		}
		g.mu.Lock()
		same := g.ln == ln && !g.closed
		g.mu.Unlock()
		if same && err != nil {
			return nil, err
		}
	}
}

// admit registers a connection of the present listener, and closes any other.
func (g *gate) admit(from net.Listener, conn net.Conn, err error) net.Conn {
	if err != nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ln != from {
		conn.Close()
		return nil
	}
	g.accepted.Add(1)
	counted := &countedConn{Conn: conn, gate: g, gone: make(chan struct{})}
	g.conns[counted] = struct{}{}
	if g.link == nil {
		return counted
	}
	return g.link.connect(counted, &g.carriers)
}

// Close implements net.Listener. It cuts the connections, and the gate cannot be opened again.
func (g *gate) Close() error {
	defer g.carriers.Wait()
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	g.shut()
	g.reserved.Close()
	g.mu.Unlock()
	g.cut()
	return nil
}

// shut stops listening and wakes Accept. The caller holds mu.
func (g *gate) shut() {
	if g.ln != nil {
		stopListening(g.ln)
		g.ln.Close()
		g.ln = nil
	}
	g.wake()
}

// stopListening makes the kernel refuse connections at once. Close alone leaves the port open while a child process that
// another goroutine just forked has not run exec yet, because the child holds the socket until then.
func stopListening(ln net.Listener) {
	if raw, err := ln.(*net.TCPListener).SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
	}
}

func (g *gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// refuse shuts the gate and cuts its connections, or opens it again.
func (g *gate) refuse(refuse bool) {
	g.mu.Lock()
	switch {
	case g.closed, refuse == (g.ln == nil):
		g.mu.Unlock()
		return
	case refuse:
		g.shut()
		g.mu.Unlock()
		g.cut()
		return
	}
	defer g.mu.Unlock()
	ln, err := listenAgain(g.address)
	if err != nil {
		panic(fmt.Sprintf("snstest: %s cannot be opened again: %v", g.address, err))
	}
	g.ln = ln
	g.wake()
}

// cut closes every connection. Bytes under way are lost.
func (g *gate) cut() {
	g.mu.Lock()
	conns := make([]*countedConn, 0, len(g.conns))
	for conn := range g.conns {
		conns = append(conns, conn)
	}
	g.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
}

func (g *gate) resetCounts() {
	g.in.Store(0)
	g.out.Store(0)
	g.accepted.Store(0)
}

// countedConn counts bytes at the socket, with handshakes and padding.
type countedConn struct {
	net.Conn
	gate *gate
	gone chan struct{} // closed by Close
	once sync.Once
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.gate.in.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.gate.out.Add(int64(n))
	return n, err
}

func (c *countedConn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.mu.Unlock()
	c.once.Do(func() { close(c.gone) })
	return c.Conn.Close()
}
