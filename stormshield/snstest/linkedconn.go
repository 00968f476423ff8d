package snstest

import (
	"errors"
	"io"
	"net"
	"time"
)

// linkedConn is a connection whose client is at the other end of a link: between the socket and the server lies a wire
// each way. The socket counts; so bytes count where the client sends and gets them.
type linkedConn struct {
	*countedConn
	up, down *wire // up is what the server reads
}

// linked puts a link before a socket. The gate waits for what it starts.
func (g *gate) linked(socket *countedConn) *linkedConn {
	// The client has its connection after one round trip, the server after another half.
	now, trip := time.Now(), g.cable.link.RoundTrip
	c := &linkedConn{
		countedConn: socket,
		up:          newWire(g.cable.up, now.Add(trip), socket.gone),
		down:        newWire(g.cable.down, now.Add(trip+trip/2), socket.gone),
	}
	g.carriers.Go(c.carryUp)
	g.carriers.Go(c.carryDown)
	return c
}

// carryUp brings what the client sends to the wire, and its end.
func (c *linkedConn) carryUp() {
	buffer := make([]byte, 32<<10)
	for {
		n, err := c.countedConn.Read(buffer)
		if _, refused := c.up.send(buffer[:n]); refused != nil {
			return
		}
		if err != nil {
			c.up.finish(err)
			return
		}
	}
}

// carryDown brings what comes out of the wire to the client, and closes the socket behind it.
func (c *linkedConn) carryDown() {
	defer c.countedConn.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := c.down.receive(buffer)
		if err != nil {
			return
		}
		if _, err := c.countedConn.Write(buffer[:n]); err != nil {
			c.down.sever(err)
			return
		}
	}
}

func (c *linkedConn) Read(p []byte) (int, error) {
	n, err := c.up.receive(p)
	return n, c.explain("read", err)
}

func (c *linkedConn) Write(p []byte) (int, error) {
	n, err := c.down.send(p)
	return n, c.explain("write", err)
}

// Close lets what was written arrive and the end behind it; what the client sends is not read any more.
func (c *linkedConn) Close() error {
	c.up.sever(net.ErrClosed)
	c.down.finish(io.EOF)
	return nil
}

// explain makes an error what a socket would give. io.EOF must stay itself.
func (c *linkedConn) explain(op string, err error) error {
	var known *net.OpError
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &known) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func (c *linkedConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *linkedConn) SetReadDeadline(t time.Time) error {
	c.up.deadline(&c.up.receiveBy, t)
	return nil
}

func (c *linkedConn) SetWriteDeadline(t time.Time) error {
	c.down.deadline(&c.down.sendBy, t)
	return nil
}
