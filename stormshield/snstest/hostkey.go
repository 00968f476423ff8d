package snstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// hostKeys are the keys of the SSH server. A key is made when it is first needed, because RSA takes long.
type hostKeys struct {
	host string

	mu   sync.Mutex
	kept map[string]ssh.Signer // by kind: ed25519, ecdsa, rsa; "ca" signs certificates
	user map[string]bool
}

func newHostKeys(host string) *hostKeys {
	return &hostKeys{host: host, kept: map[string]ssh.Signer{}, user: map[string]bool{}}
}

// renew forgets the keys, so that new ones are made. The CA stays.
func (k *hostKeys) renew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for kind := range k.kept {
		if kind != "ca" {
			delete(k.kept, kind)
		}
	}
}

// signers returns the keys that the faults ask for, the plain ones before the certificates.
func (k *hostKeys) signers(f *Faults) []ssh.Signer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.LegacyAlgorithmsOnly {
		old, err := ssh.NewSignerWithAlgorithms(k.keyOf("rsa").(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
		must("restrict an RSA key to SHA-1", err)
		return []ssh.Signer{old}
	}
	var signers []ssh.Signer
	for _, kind := range f.HostKeys {
		signers = append(signers, k.keyOf(kind))
	}
	if len(signers) == 0 {
		signers = append(signers, k.keyOf("ed25519"))
	}
	if f.HostCertificates {
		for _, plain := range signers {
			signers = append(signers, k.certified(plain))
		}
	}
	return signers
}

// keyOf returns the key of a kind. The caller holds mu.
func (k *hostKeys) keyOf(kind string) ssh.Signer {
	if k.kept[kind] == nil {
		k.kept[kind] = makeKey(kind)
	}
	return k.kept[kind]
}

func makeKey(kind string) ssh.Signer {
	var private crypto.Signer
	var err error
	switch kind {
	case "rsa":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ecdsa":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	must("make a host key", err)
	signer, err := ssh.NewSignerFromKey(private)
	must("use a host key", err)
	return signer
}

// certified returns a key with a certificate for the appliance's address. The caller holds mu.
func (k *hostKeys) certified(plain ssh.Signer) ssh.Signer {
	certificate := &ssh.Certificate{
		Key: plain.PublicKey(), CertType: ssh.HostCert, KeyId: "appliance",
		ValidPrincipals: []string{k.host}, ValidBefore: ssh.CertTimeInfinity,
	}
	must("sign a host certificate", certificate.SignCert(rand.Reader, k.keyOf("ca")))
	signer, err := ssh.NewCertSigner(certificate, plain)
	must("use a host certificate", err)
	return signer
}

func must(what string, err error) {
	if err != nil {
		panic(fmt.Sprintf("snstest: %s: %v", what, err))
	}
}

func (k *hostKeys) authorized(key ssh.PublicKey) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.user[string(key.Marshal())]
}

// AuthorizeKey accepts a key for SSH logins.
func (a *Appliance) AuthorizeKey(key ssh.PublicKey) {
	a.hostKeys.mu.Lock()
	defer a.hostKeys.mu.Unlock()
	a.hostKeys.user[string(key.Marshal())] = true
}

// HostKeys returns the SSH server's public keys, without certificates: RSA while LegacyAlgorithmsOnly is on, otherwise
// those of Faults.HostKeys.
func (a *Appliance) HostKeys() []ssh.PublicKey {
	f, _ := a.faults.current()
	plain := f.clone()
	plain.HostCertificates = false
	var keys []ssh.PublicKey
	for _, signer := range a.hostKeys.signers(plain) {
		keys = append(keys, signer.PublicKey())
	}
	return keys
}

// HostKey returns the first of HostKeys.
func (a *Appliance) HostKey() ssh.PublicKey { return a.HostKeys()[0] }

// HostCA returns the key that signs the certificates of Faults.HostCertificates.
func (a *Appliance) HostCA() ssh.PublicKey {
	a.hostKeys.mu.Lock()
	defer a.hostKeys.mu.Unlock()
	return a.hostKeys.keyOf("ca").PublicKey()
}

// HostKeyFingerprint returns "SHA256:…" of HostKey as ssh-keygen -l prints it; "" without SSH.
func (a *Appliance) HostKeyFingerprint() string {
	if a.sshGate == nil {
		return ""
	}
	return ssh.FingerprintSHA256(a.HostKey())
}

// KnownHosts returns the lines of a known_hosts file, one a key of HostKeys; "" without SSH.
func (a *Appliance) KnownHosts() string {
	if a.sshGate == nil {
		return ""
	}
	var lines strings.Builder
	for _, key := range a.HostKeys() {
		fmt.Fprintf(&lines, "[%s]:%d %s", a.Host(), a.SSHPort(), ssh.MarshalAuthorizedKey(key))
	}
	return lines.String()
}

// ChangeHostKey gives the SSH server other keys, as after a factory reset or with an attacker in between.
func (a *Appliance) ChangeHostKey() { a.hostKeys.renew() }
