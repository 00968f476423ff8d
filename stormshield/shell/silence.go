package shell

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// SilenceError says that nothing arrived from the appliance for a time, not even the
// answer to a keepalive request.
type SilenceError struct{ For time.Duration }

func (e *SilenceError) Error() string { return fmt.Sprintf("the appliance sent nothing for %s", e.For) }

// Timeout returns true, because the error is a time-out for net.Error.
func (e *SilenceError) Timeout() bool { return true }

// Unwrap returns os.ErrDeadlineExceeded.
func (e *SilenceError) Unwrap() error { return os.ErrDeadlineExceeded }

// keepAlive sends keepalive requests until the connection ends, as OpenSSH does with
// ServerAliveInterval. A command may print nothing for minutes; the answers show that
// the server is alive.
func (c *Client) keepAlive(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			sent := c.conn.sentSoFar()
			if _, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				return
			}
			c.conn.arrived(sent)
		case <-c.ended:
			return
		}
	}
}

const (
	// slowestLink is the speed of the slowest supported link, in bytes a second. An answer arrives
	// only after everything that was sent before.
	slowestLink = 1000
	// longestUpload is the greatest time that an upload adds to the limit.
	longestUpload = 5 * time.Minute
)

// timedConn ends a connection on which nothing arrives for too long.
type timedConn struct {
	net.Conn
	timeout time.Duration

	mu           sync.Mutex
	sent         int       // how many bytes were sent
	arrivedBytes int       // how many of them certainly arrived
	lastByte     time.Time // when a byte last arrived
	failed       error
}

func (c *timedConn) sentSoFar() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}

// arrived records that the server answered a request behind this many bytes.
func (c *timedConn) arrived(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrivedBytes = bytes
}

// limit returns the time at which silence has lasted too long.
func (c *timedConn) limit() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastByte.IsZero() {
		c.lastByte = time.Now()
	}
	upload := time.Duration(c.sent-c.arrivedBytes) * time.Second / slowestLink
	return c.lastByte.Add(c.timeout + min(upload, longestUpload))
}

func (c *timedConn) Read(p []byte) (int, error) {
	for {
		limit := c.limit()
		if err := c.SetReadDeadline(limit); err != nil {
			return 0, c.fail(err)
		}
		n, err := c.Conn.Read(p)
		if n > 0 {
			c.mu.Lock()
			c.lastByte = time.Now()
			c.mu.Unlock()
		}
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.limit().After(limit) {
			continue // more was sent meanwhile
		}
		return n, c.fail(err)
	}
}

func (c *timedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.sent += len(p)
	c.mu.Unlock()
	for sent := 0; ; {
		limit := c.limit()
		if err := c.SetWriteDeadline(limit); err != nil {
			return sent, c.fail(err)
		}
		n, err := c.Conn.Write(p[sent:])
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) && c.limit().After(limit) {
			continue // something arrived meanwhile
		}
		return sent, c.fail(err)
	}
}

// fail records why the connection failed. Our own time-out becomes a [SilenceError].
func (c *timedConn) fail(err error) error {
	if err == nil || errors.Is(err, net.ErrClosed) {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &SilenceError{c.timeout}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = err
	}
	return err
}

// failure returns the first failure; nil while there is none.
func (c *timedConn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}
