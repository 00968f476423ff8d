package snstest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// hostKeys are the keys the SSH server proves itself with.
type hostKeys struct {
	mu      sync.Mutex
	ed25519 ssh.Signer
	rsa     ssh.Signer // made when first needed: it takes a while
	user    map[string]bool
}

func newHostKeys() (*hostKeys, error) {
	k := &hostKeys{user: map[string]bool{}}
	return k, k.renew()
}

func (k *hostKeys) renew() error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	hadRSA := k.rsa != nil
	k.ed25519, k.rsa = signer, nil
	if hadRSA {
		k.makeRSA()
	}
	return nil
}

func (k *hostKeys) needRSA() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rsa == nil {
		k.makeRSA()
	}
}

// makeRSA makes a key that signs with ssh-rsa (SHA-1) only. The caller holds mu.
func (k *hostKeys) makeRSA() {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(fmt.Sprintf("snstest: make an RSA key: %v", err))
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		panic(fmt.Sprintf("snstest: use an RSA key: %v", err))
	}
	k.rsa, err = ssh.NewSignerWithAlgorithms(signer.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
	if err != nil {
		panic(fmt.Sprintf("snstest: restrict an RSA key: %v", err))
	}
}

func (k *hostKeys) current(legacy bool) ssh.Signer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if legacy && k.rsa != nil {
		return k.rsa
	}
	return k.ed25519
}

func (k *hostKeys) authorized(key ssh.PublicKey) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.user[string(key.Marshal())]
}

// AuthorizeKey lets the owner of a key in over SSH.
func (a *Appliance) AuthorizeKey(key ssh.PublicKey) {
	a.hostKeys.mu.Lock()
	defer a.hostKeys.mu.Unlock()
	a.hostKeys.user[string(key.Marshal())] = true
}

// HostKey returns the SSH server's public key: RSA while LegacyAlgorithmsOnly is on, otherwise ed25519.
func (a *Appliance) HostKey() ssh.PublicKey {
	f, _ := a.faults.now()
	return a.hostKeys.current(f.LegacyAlgorithmsOnly).PublicKey()
}

// HostKeyFingerprint returns "SHA256:…" as ssh-keygen -l prints it; "" without SSH.
func (a *Appliance) HostKeyFingerprint() string {
	if a.sshGate == nil {
		return ""
	}
	return ssh.FingerprintSHA256(a.HostKey())
}

// KnownHosts returns the line of a known_hosts file; "" without SSH.
func (a *Appliance) KnownHosts() string {
	if a.sshGate == nil {
		return ""
	}
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(a.HostKey())))
	return fmt.Sprintf("[%s]:%d %s\n", a.Host(), a.SSHPort(), key)
}

// ChangeHostKey gives the SSH server another key, as after a factory reset or with someone in between.
func (a *Appliance) ChangeHostKey() {
	if err := a.hostKeys.renew(); err != nil {
		panic(fmt.Sprintf("snstest: change the host key: %v", err))
	}
}
