package serverd

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// Trust says which certificate is trusted: the one with the fingerprint, or else one
// of the CA. Without both, Insecure trusts any certificate.
type Trust struct {
	CAPath      string   // PEM
	ServerName  string   // the certificate's name, CN or SAN; "": the host
	Fingerprint [32]byte // SHA-256 of the certificate; zero: not pinned
	Insecure    bool     // trust any certificate
}

// CertificateError says that the appliance shows a certificate that is not trusted.
type CertificateError struct {
	Fingerprint [32]byte // of the certificate that was shown
	Reason      error
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("the certificate shown (%s) is not trusted: %v", Fingerprint(e.Fingerprint), e.Reason)
}

func (e *CertificateError) Unwrap() error { return e.Reason }

// NameError says that a certificate of the trusted CA belongs to another name.
type NameError struct {
	Name   string // its CN, or else a name or an address of its SAN; may be ""
	Wanted string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("it belongs to %q, not to %q (api_server_name)", e.Name, e.Wanted)
}

// Fingerprint prints a fingerprint in the form of the configuration.
func Fingerprint(sum [32]byte) string {
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// config returns a TLS configuration that checks the certificate itself. A factory
// certificate has its name only in the CN, which Go's own check ignores. It calls trusted with each certificate that passes.
func (t Trust) config(host string, trusted func(*x509.Certificate)) (*tls.Config, error) {
	var roots *x509.CertPool
	if t.CAPath != "" {
		pem, err := os.ReadFile(t.CAPath)
		if err != nil {
			return nil, fmt.Errorf("read the CA of the appliance's certificate (api_ca_path): %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("api_ca_path: %s holds no certificate in PEM", t.CAPath)
		}
	}
	name := t.ServerName
	if name == "" {
		name = host
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         sni(name),
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection below does the check
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			sum := sha256.Sum256(leaf.Raw)
			if err := t.check(sum, state.PeerCertificates, roots, name); err != nil {
				return &CertificateError{Fingerprint: sum, Reason: err}
			}
			if trusted != nil {
				trusted(leaf)
			}
			return nil
		},
	}, nil
}

func (t Trust) check(sum [32]byte, chain []*x509.Certificate, roots *x509.CertPool, name string) error {
	switch {
	case t.Fingerprint != [32]byte{}:
		if sum != t.Fingerprint {
			return fmt.Errorf("the configuration pins %s", Fingerprint(t.Fingerprint))
		}
		return nil
	case roots != nil:
		return verify(chain, roots, name)
	case t.Insecure:
		return nil
	}
	return errors.New("neither a CA nor a fingerprint is configured")
}

func verify(chain []*x509.Certificate, roots *x509.CertPool, name string) error {
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates}); err != nil {
		return err
	}
	if err := chain[0].VerifyHostname(withoutZone(name)); err != nil && !strings.EqualFold(chain[0].Subject.CommonName, name) {
		return &NameError{Name: nameOf(chain[0]), Wanted: name}
	}
	return nil
}

// nameOf returns the first name of a certificate.
func nameOf(c *x509.Certificate) string {
	switch {
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	}
	return ""
}

// withoutZone removes the zone of an IPv6 address, which names an interface of this
// machine. No certificate has one.
func withoutZone(host string) string {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.WithZone("").String()
	}
	return host
}

// sni returns the name for the handshake, which is empty for an address.
func sni(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return ""
	}
	return name
}

// Certificate returns the certificate that the API shows, without a check. It sends
// no request.
func Certificate(ctx context.Context, host string, port int) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: sni(host)}} //nolint:gosec // it is shown, not trusted
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("ask %s for its API certificate: %w", host, err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}
