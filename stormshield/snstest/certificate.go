package snstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// identity is the certificate of the HTTPS API. From version 5.0 each appliance has a CA of its own.
type identity struct {
	kind   CertificateKind
	serial string

	mu    sync.Mutex
	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
	leaf  tls.Certificate

	users    *x509.Certificate // the CA of administrators' certificates
	usersKey *ecdsa.PrivateKey
}

func newIdentity(kind CertificateKind, serial string) (*identity, error) {
	i := &identity{kind: kind, serial: serial}
	var err error
	if i.users, i.usersKey, err = newCA("Administrators CA " + serial); err != nil {
		return nil, err
	}
	return i, i.renew()
}

// renew makes a CA and a certificate.
func (i *identity) renew() (err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ca, i.caKey, err = newCA("Firewall CA " + i.serial); err != nil {
		return err
	}
	return i.issue(func(*x509.Certificate) {})
}

func newCA(name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	ca := template(name)
	ca.IsCA, ca.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return certificate, key, err
}

// issue makes a certificate of the present CA, or a self-signed one. The caller holds mu.
func (i *identity) issue(edit func(*x509.Certificate)) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := template(i.serial)
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if i.kind != FactoryCertificate {
		leaf.DNSNames = []string{"localhost"}
		leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}
	}
	edit(leaf)
	parent, signer := i.ca, i.caKey
	if i.kind == SelfSigned {
		parent, signer = leaf, key
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	i.leaf = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return nil
}

func template(name string) *x509.Certificate {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(fmt.Sprintf("snstest: no randomness: %v", err))
	}
	return &x509.Certificate{
		SerialNumber:          number.Add(number, big.NewInt(1)),
		Subject:               pkix.Name{Organization: []string{"Simulated appliance"}, CommonName: name},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().Add(10 * 365 * 24 * time.Hour),
		BasicConstraintsValid: true,
	}
}

func (i *identity) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	leaf := i.leaf
	return &leaf, nil
}

// CA returns in PEM the certificate that signed the API's certificate: the one of the CA, or itself if self-signed.
func (a *Appliance) CA() []byte {
	a.identity.mu.Lock()
	defer a.identity.mu.Unlock()
	der := a.identity.ca.Raw
	if a.identity.kind == SelfSigned {
		der = a.identity.leaf.Certificate[0]
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// CertificateName returns the name in the API's certificate: the serial number in the common name of a factory certificate,
// "localhost" in the others.
func (a *Appliance) CertificateName() string {
	if a.identity.kind == FactoryCertificate {
		return a.identity.serial
	}
	return "localhost"
}

func (a *Appliance) certificateSum() [sha256.Size]byte {
	a.identity.mu.Lock()
	defer a.identity.mu.Unlock()
	return sha256.Sum256(a.identity.leaf.Certificate[0])
}

// CertificateFingerprint returns "SHA256:" and the unpadded base64 of the SHA-256 of the API's certificate.
func (a *Appliance) CertificateFingerprint() string {
	sum := a.certificateSum()
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// ChangeCertificate gives the API another certificate of the same kind, from another CA. Open connections stay.
func (a *Appliance) ChangeCertificate() {
	if err := a.identity.renew(); err != nil {
		panic(fmt.Sprintf("snstest: change the certificate: %v", err))
	}
}

// ReissueCertificate gives the API another certificate of the same CA, as edit changes it: expired, of another name.
// Open connections stay.
func (a *Appliance) ReissueCertificate(edit func(*x509.Certificate)) {
	a.identity.mu.Lock()
	defer a.identity.mu.Unlock()
	if err := a.identity.issue(edit); err != nil {
		panic(fmt.Sprintf("snstest: reissue the certificate: %v", err))
	}
}
