package serverd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// showCertificate adds the client certificate to a TLS configuration. Without one it changes nothing.
func (c Config) showCertificate(to *tls.Config) error {
	if c.ClientCertPath == "" {
		return nil
	}
	certificate, err := tls.LoadX509KeyPair(c.ClientCertPath, c.ClientKeyPath)
	if err != nil {
		return fmt.Errorf("read the client certificate (api_client_cert_path: %s, api_client_key_path: %s): %w", c.ClientCertPath, c.ClientKeyPath, err)
	}
	// Certificates would leave it out if the appliance does not list its CA. The appliance shall decide.
	to.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	to.Renegotiation = tls.RenegotiateOnceAsClient // the appliance may ask for the certificate at the login only [?]
	return nil
}

// certificateAlert returns the TLS alert by which the appliance refuses a client certificate; "" for any other error.
func certificateAlert(err error) string {
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" || remote.Err == nil {
		return ""
	}
	text := remote.Err.Error() // crypto/tls exports no type for it
	if strings.Contains(text, "certificate") || strings.Contains(text, "access denied") {
		return text
	}
	return ""
}
