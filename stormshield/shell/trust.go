package shell

import (
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Distrust is why a host key is not trusted.
type Distrust int

const (
	// KeyDiffers says that another key is configured for the appliance.
	KeyDiffers Distrust = iota
	// NameUnknown says that the known_hosts file has no line for the appliance.
	NameUnknown
	// KeyRevoked says that the known_hosts file revokes the key, or the CA of
	// its certificate.
	KeyRevoked
	// NotCertified says that the known_hosts file names a CA for the appliance, and
	// that the appliance shows no valid certificate of this CA.
	NotCertified
	// NothingKnown says that the configuration names no key.
	NothingKnown
)

// HostKeyError says that the appliance shows a host key that is not trusted. No
// secret was sent.
type HostKeyError struct {
	Shown    string // SHA256:… of the key that was shown
	Distrust Distrust
	Reason   string

	keyType string
}

func (e *HostKeyError) Error() string {
	return fmt.Sprintf("the host key shown (%s) is not trusted: %s", e.Shown, e.Reason)
}

// Fingerprint prints a host key as ssh-keygen -l does: SHA256:… The
// fingerprint of a certificate is that of its key.
func Fingerprint(key ssh.PublicKey) string { return ssh.FingerprintSHA256(certified(key)) }

func certified(key ssh.PublicKey) ssh.PublicKey {
	if certificate, ok := key.(*ssh.Certificate); ok {
		return certificate.Key
	}
	return key
}

// trust decides on host keys.
type trust struct {
	fingerprint string
	known       *knownHosts // nil: no file is configured
	insecure    bool
	trusted     string // the type of the key that was trusted last
}

func newTrust(c Config) (*trust, error) {
	t := &trust{fingerprint: strings.TrimRight(c.HostKey, "="), insecure: c.InsecureHostKey}
	if t.fingerprint == "" && c.KnownHostsPath != "" {
		known, err := readKnownHosts(c.KnownHostsPath)
		if err != nil {
			return nil, fmt.Errorf("read the known host keys (ssh_known_hosts_path): %w", err)
		}
		t.known = known
	}
	return t, nil
}

// wanted returns the types of host key that may be trusted. It returns none if any
// key of the appliance is enough for a decision.
func (t *trust) wanted(address string, all []string) []string {
	switch {
	case t.fingerprint != "":
		return all
	case t.known != nil:
		return t.known.types(address, all)
	}
	return nil
}

func (t *trust) check(address string, remote net.Addr, key ssh.PublicKey) error {
	distrust, reason := t.distrust(address, remote, key)
	if reason != "" {
		return &HostKeyError{Shown: Fingerprint(key), Distrust: distrust, Reason: reason, keyType: key.Type()}
	}
	t.trusted = key.Type()
	return nil
}

// distrust returns the reason why a key is not trusted, or none.
func (t *trust) distrust(address string, remote net.Addr, key ssh.PublicKey) (Distrust, string) {
	switch {
	case t.fingerprint != "" && Fingerprint(key) != t.fingerprint:
		return KeyDiffers, "the configuration pins " + t.fingerprint
	case t.fingerprint != "":
	case t.known != nil:
		return t.known.distrust(address, remote, key)
	case !t.insecure:
		return NothingKnown, "neither a fingerprint nor known hosts are configured"
	}
	return 0, ""
}
