package snstest_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"notification-stormshield/stormshield/snstest"
)

const certificateLogin = "/auth/admin.html?sslcert=1&app=sslclient"

// show makes the client show a certificate.
func (c *apiClient) show(certificate, key []byte) {
	c.t.Helper()
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		c.t.Fatal(err)
	}
	c.http.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{pair}
}

func asIssued(*x509.Certificate) {}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

func TestAClientCertificateLogsIn(t *testing.T) {
	a := snstest.Start(t)
	c := newAPIClient(t, a)
	c.show(a.ClientCertificate(asIssued))
	if d := c.must("GET", certificateLogin, nil); d.Msg != "AUTH_SUCCESS" {
		t.Fatalf("log in: %s", d.Msg)
	}
	if d := c.openSession(""); d.Code != 100 || d.Session == "" {
		t.Fatalf("open a session: code %d %q", d.Code, d.Msg)
	}
	c.want(100, "NOP")
	if d := c.must("GET", "/auth/admin.html?app=sslclient", nil); d.Msg != "AUTH_FAILED" {
		t.Errorf("without sslcert=1: %s", d.Msg)
	}
}

func TestAnotherClientCertificateIsRefused(t *testing.T) {
	a, other := snstest.Start(t), snstest.Start(t)
	for name, prepare := range map[string]func(*apiClient){
		"none":                 func(*apiClient) {},
		"of another appliance": func(c *apiClient) { c.show(other.ClientCertificate(asIssued)) },
		"expired":              func(c *apiClient) { c.show(a.ClientCertificate(expired)) },
	} {
		a.Unlock()
		a.ResetStats()
		c := newAPIClient(t, a)
		prepare(c)
		for range 3 {
			if d := c.must("GET", certificateLogin, nil); d.Msg != "AUTH_FAILED" {
				t.Errorf("%s: %s", name, d.Msg)
			}
		}
		if s := a.Stats(); s.APILoginsFailed != 3 || s.Lockouts != 1 {
			t.Errorf("%s: %d failed logins, %d lockouts", name, s.APILoginsFailed, s.Lockouts)
		}
	}
}

func TestAClientCertificateIsRefusedByAnAlert(t *testing.T) {
	a := snstest.Start(t)
	a.SetFaults(func(f *snstest.Faults) { f.CertificateAlert = true })
	c := newAPIClient(t, a)
	c.show(a.ClientCertificate(expired))
	if _, err := c.do("GET", certificateLogin, nil); err == nil || !strings.Contains(err.Error(), "remote error: tls: expired certificate") {
		t.Errorf("error %v", err)
	}
	connect(t, a) // a client without a certificate
}
