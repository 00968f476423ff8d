package serverd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// addClientCertificate adds the client certificate to a TLS configuration, if there is one.
func (c Config) addClientCertificate(to *tls.Config) error {
	if c.ClientCertPath == "" {
		return nil
	}
	certificate, err := tls.LoadX509KeyPair(c.ClientCertPath, c.ClientKeyPath)
	if err != nil {
		return fmt.Errorf("read the client certificate (api_client_cert_path: %s, api_client_key_path: %s): %w", c.ClientCertPath, c.ClientKeyPath, err)
	}
	// The field Certificates would send it only if the appliance lists its CA.
	to.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	to.Renegotiation = tls.RenegotiateOnceAsClient // the appliance may ask for the certificate at the login only [?]
	return nil
}

// certificateAlert returns the TLS alert by which the appliance refused a client certificate; "": the error is another one.
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
