package stormshield

import (
	"context"
	"crypto/x509"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"notification-stormshield/appliance"
	"notification-stormshield/stormshield/serverd"
)

// Observed returns what this client saw of its appliance. It may run beside a flush.
func (a *Appliance) Observed() appliance.Observed {
	a.observer.mu.Lock()
	defer a.observer.mu.Unlock()
	return appliance.Observed{
		API: a.observer.api.traffic(), SSH: a.observer.ssh.traffic(),
		Model: a.observer.model, Version: a.observer.version, CertificateEnds: a.observer.certificateEnds,
	}
}

// Properties returns the section Result of SYSTEM PROPERTY.
func (a *Appliance) Properties(ctx context.Context, session *serverd.Session) (map[string]string, error) {
	answer, err := session.Run(ctx, "SYSTEM PROPERTY")
	if err != nil {
		return nil, err
	}
	properties := answer.Section("Result")
	a.observer.mu.Lock()
	defer a.observer.mu.Unlock()
	a.observer.model, a.observer.version = properties["Model"], properties["Version"]
	return properties, nil
}

// observer collects what a client sees of its appliance.
type observer struct {
	api, ssh meter

	mu              sync.Mutex
	model, version  string
	certificateEnds time.Time
}

func (o *observer) keepCertificate(certificate *x509.Certificate) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.certificateEnds = certificate.NotAfter
}

// meter counts the connections to one server.
type meter struct{ logins, refused, sent, received atomic.Int64 }

func (m *meter) traffic() appliance.Traffic {
	return appliance.Traffic{
		Logins: m.logins.Load(), Refused: m.refused.Load(), Sent: m.sent.Load(), Received: m.received.Load(),
	}
}

// countLogin counts a login that the appliance accepted or refused.
func (m *meter) countLogin(accepted, refused bool) {
	if accepted {
		m.logins.Add(1)
	}
	if refused {
		m.refused.Add(1)
	}
}

// wrap returns the connection, and counts its bytes from now on.
func (m *meter) wrap(conn net.Conn) net.Conn { return &meteredConn{conn, m} }

type meteredConn struct {
	net.Conn
	meter *meter
}

func (c *meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.meter.received.Add(int64(n))
	return n, err
}

func (c *meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.meter.sent.Add(int64(n))
	return n, err
}
