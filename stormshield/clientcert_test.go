package stormshield_test

import (
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield"
	"notification-stormshield/stormshield/flushtest"
	"notification-stormshield/stormshield/snstest"
)

func asIssued(*x509.Certificate) {}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

func TestAFlushLogsInWithAClientCertificate(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.Client = stormshield.New(flushtest.Certified(t, configFor(t, h.Sim), h.Sim, asIssued))
	h.MustFlush(addresses(10), nil, true)
	h.WantInForce()
}

func TestARefusedClientCertificateIsARefusedLogin(t *testing.T) {
	t.Parallel()
	other := snstest.Start(t)
	for name, c := range map[string]struct {
		issuer *snstest.Appliance // nil: the appliance itself
		edit   func(*x509.Certificate)
		alert  bool
		says   string
	}{
		"expired":                    {nil, expired, false, "the client certificate (AUTH_FAILED)"},
		"expired, by an alert":       {nil, expired, true, "the client certificate (tls: expired certificate)"},
		"of another CA":              {other, asIssued, false, "the client certificate (AUTH_FAILED)"},
		"of another CA, by an alert": {other, asIssued, true, "the client certificate (tls: unknown certificate authority)"},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.Sim.SetFaults(func(f *snstest.Faults) { f.CertificateAlert = c.alert })
			if c.issuer == nil {
				c.issuer = h.Sim
			}
			h.Client = stormshield.New(flushtest.Certified(t, configFor(t, h.Sim), c.issuer, c.edit))
			_, err := h.Flush(addresses(1), nil, false)
			login := flushtest.FailedLogin(err)
			if login == nil || login.Temporary || !strings.Contains(login.Hint, "api_client_cert_path") || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v is taken for the failed login %+v", err, login)
			}
		})
	}
}

// Other failures of a connection with a client certificate do not begin a login hold-off.
func TestAFailureWithAClientCertificateIsNoRefusedLogin(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*snstest.Faults){
		"the port is closed":    func(f *snstest.Faults) { f.APIRefuse = true },
		"the answer is cut":     func(f *snstest.Faults) { f.TruncateBody = true },
		"the session has ended": func(f *snstest.Faults) { f.RootCode = 205 },
		"a page for browsers":   func(f *snstest.Faults) { f.APIPage = "/" },
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.Client = stormshield.New(flushtest.Certified(t, configFor(t, h.Sim), h.Sim, asIssued))
			h.Sim.SetFaults(set)
			if _, err := h.Flush(addresses(1), nil, false); err == nil || flushtest.FailedLogin(err) != nil {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestARenewedClientCertificateIsUsedAtTheNextLogin(t *testing.T) {
	t.Parallel()
	h := start(t)
	config := flushtest.Certified(t, configFor(t, h.Sim), h.Sim, expired)
	h.Client = stormshield.New(config)
	if _, err := h.Flush(addresses(1), nil, false); flushtest.FailedLogin(err) == nil {
		t.Fatalf("an expired certificate: %v", err)
	}
	certificate, key := h.Sim.ClientCertificate(asIssued)
	for path, text := range map[string][]byte{config.API.ClientCertPath: certificate, config.API.ClientKeyPath: key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.MustFlush(addresses(1), nil, false)
}

func TestAClientCertificateThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	h := start(t)
	for name, spoil := range map[string]func(*stormshield.Config){
		"no certificate": func(c *stormshield.Config) { c.API.ClientCertPath += ".gone" },
		"no key":         func(c *stormshield.Config) { c.API.ClientKeyPath += ".gone" },
		"the key of another one": func(c *stormshield.Config) {
			c.API.ClientKeyPath = flushtest.Certified(t, configFor(t, h.Sim), h.Sim, asIssued).API.ClientKeyPath
		},
		"the two files are interchanged": func(c *stormshield.Config) {
			c.API.ClientCertPath, c.API.ClientKeyPath = c.API.ClientKeyPath, c.API.ClientCertPath
		},
	} {
		config := flushtest.Certified(t, configFor(t, h.Sim), h.Sim, asIssued)
		spoil(&config)
		h.Client = stormshield.New(config)
		_, err := h.Flush(addresses(1), nil, false)
		if err == nil || flushtest.FailedLogin(err) != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, part := range []string{"api_client_cert_path: " + config.API.ClientCertPath, "api_client_key_path: " + config.API.ClientKeyPath} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: no %q in %v", name, part, err)
			}
		}
	}
	if n := h.Sim.Stats().CredentialsSeen; n != 0 {
		t.Errorf("the appliance saw %d credentials", n)
	}
}
