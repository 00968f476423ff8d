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
	"strings"
	"sync"
	"time"
)

// identity is what the HTTPS API proves itself with. From version 5.0 each appliance has a CA of its own.
type identity struct {
	kind   CertificateKind
	serial string

	mu   sync.Mutex
	ca   []byte // DER
	leaf tls.Certificate
}

func newIdentity(kind CertificateKind, serial string) (*identity, error) {
	i := &identity{kind: kind, serial: serial}
	return i, i.renew()
}

func (i *identity) renew() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := template("Firewall CA " + i.serial)
	ca.IsCA, ca.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
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
	parent, signer := ca, caKey
	if i.kind == SelfSigned {
		parent, signer = leaf, leafKey
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, &leafKey.PublicKey, signer)
	if err != nil {
		return err
	}
	if i.kind == SelfSigned {
		caDER = der
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ca = caDER
	i.leaf = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: leafKey}
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

// CA returns, in PEM, the certificate that signed the API's: its own CA's, or itself when self-signed.
func (a *Appliance) CA() []byte {
	a.identity.mu.Lock()
	defer a.identity.mu.Unlock()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.identity.ca})
}

// CertificateName returns the name to expect in the API's certificate: the serial number in the common name of a
// factory certificate, "localhost" in the others.
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

// CertificateFingerprintHex returns the same sum as openssl prints it, AA:BB:….
func (a *Appliance) CertificateFingerprintHex() string {
	sum := a.certificateSum()
	parts := make([]string, len(sum))
	for n, b := range sum {
		parts[n] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// ChangeCertificate gives the API another certificate of the same kind, from another CA. Open connections stay.
func (a *Appliance) ChangeCertificate() {
	if err := a.identity.renew(); err != nil {
		panic(fmt.Sprintf("snstest: change the certificate: %v", err))
	}
}
