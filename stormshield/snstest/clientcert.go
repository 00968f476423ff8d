package snstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
)

// ClientCertificate issues a certificate, as edit changes it, and its key, both in PEM. A client logs in with it as the account,
// without a password, unless edit makes it expired or not yet valid. The certificate of another appliance is refused.
func (a *Appliance) ClientCertificate(edit func(*x509.Certificate)) (certificate, key []byte) {
	i := a.identity
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	var der, keyDER []byte
	if err == nil {
		leaf := template(a.options.User)
		leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		edit(leaf)
		der, err = x509.CreateCertificate(rand.Reader, leaf, i.users, &private.PublicKey, i.usersKey)
	}
	if err == nil {
		keyDER, err = x509.MarshalPKCS8PrivateKey(private)
	}
	if err != nil {
		panic(fmt.Sprintf("snstest: issue a client certificate: %v", err))
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// accepts reports whether a connection shows a client certificate of this appliance.
func (i *identity) accepts(state *tls.ConnectionState) bool {
	if len(state.PeerCertificates) == 0 {
		return false
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: i.userCAs(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

func (i *identity) userCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.users)
	return pool
}

// strictTLS refuses foreign client certificates in the handshake, if Faults.CertificateAlert is set. It uses TLS 1.2: in TLS 1.3 a client
// sends its request before the alert arrives, and may see a closed connection instead.
func (a *Appliance) strictTLS(*tls.ClientHelloInfo) (*tls.Config, error) {
	if f, _ := a.faults.current(); !f.CertificateAlert {
		return nil, nil // the configuration of the server
	}
	return &tls.Config{
		GetCertificate: a.identity.get, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12,
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: a.identity.userCAs(),
	}, nil
}

// webCertificateLogin is the first step of a login with a client certificate. A refused certificate counts as a failed
// login, which no source shows [?].
func (a *Appliance) webCertificateLogin(w http.ResponseWriter, r *http.Request, f *Faults) string {
	sslcert, _ := rawQuery(r, "sslcert")
	app, _ := rawQuery(r, "app")
	if sslcert != "1" || app != "sslclient" {
		return loginXML("AUTH_FAILED", "")
	}
	a.counters.count(func(s *Stats) { s.CredentialsSeen++ })
	message, extra := a.judge(a.identity.accepts(r.TLS), a.Password(), "", f)
	return a.answerLogin(w, writerAt(a.options.User, r.RemoteAddr), message, extra)
}
