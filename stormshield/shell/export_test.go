package shell

import (
	"context"
	"net"

	"golang.org/x/crypto/ssh"
)

// Trusts checks whether a configuration trusts a host key.
func Trusts(c Config, hostname string, key ssh.PublicKey) error {
	t, err := newTrust(c)
	if err != nil {
		return err
	}
	return t.check(hostname, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 22}, key)
}

// WithConnection returns a configuration whose next connection is conn.
func (c Config) WithConnection(conn net.Conn) Config {
	c.open = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	return c
}
