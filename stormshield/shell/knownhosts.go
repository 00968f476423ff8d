package shell

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// knownHosts is a file of host keys in OpenSSH's format.
type knownHosts struct {
	path   string
	verify ssh.HostKeyCallback
	lines  []string
}

func readKnownHosts(path string) (*knownHosts, error) {
	verify, err := knownhosts.New(path)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return &knownHosts{path: path, verify: verify, lines: strings.Split(string(text), "\n")}, nil
}

// entries returns the keys and the CAs that the file has for an address. The package
// knownhosts lists them only in its error about an unknown key.
func (k *knownHosts) entries(address string) (keys, authorities []knownhosts.KnownKey) {
	var unknown *knownhosts.KeyError
	if !errors.As(k.verify(address, anyAddress, noKey{}), &unknown) {
		return nil, nil
	}
	for _, entry := range unknown.Want {
		if entry.Line > len(k.lines) {
			continue // the file was replaced between two reads
		}
		if strings.HasPrefix(strings.TrimSpace(k.lines[entry.Line-1]), "@cert-authority") {
			authorities = append(authorities, entry)
		} else {
			keys = append(keys, entry)
		}
	}
	return keys, authorities
}

// types returns the types of key that the file decides about: certificates if it
// names a CA, and the types of its keys.
func (k *knownHosts) types(address string, all []string) []string {
	keys, authorities := k.entries(address)
	var certificates, plain []string
	for _, t := range all {
		switch {
		case isCertificate(t):
			if len(authorities) > 0 {
				certificates = append(certificates, t)
			}
		case slices.ContainsFunc(keys, func(entry knownhosts.KnownKey) bool { return entry.Key.Type() == t }):
			plain = append(plain, t)
		}
	}
	return slices.Concat(certificates, plain)
}

// distrust returns the reason why the file does not make a key trusted, or none.
func (k *knownHosts) distrust(address string, remote net.Addr, key ssh.PublicKey) (Distrust, string) {
	err := k.verify(address, remote, key)
	if err == nil {
		return 0, ""
	}
	name := knownhosts.Normalize(address)
	keys, authorities := k.entries(address)
	certificate, isCertificate := key.(*ssh.Certificate)
	switch {
	case errors.As(err, new(*knownhosts.RevokedError)), isCertificate && strings.Contains(err.Error(), "revoked"):
		return KeyRevoked, fmt.Sprintf("it is revoked by a line @revoked of %s (ssh_known_hosts_path)", k.path)
	case len(keys)+len(authorities) == 0:
		return NameUnknown, k.describeMissing(name, address)
	case isCertificate && !slices.ContainsFunc(authorities, hasKey(certificate.SignatureKey)):
		return NotCertified, fmt.Sprintf("its certificate is of the CA %s, and %s (ssh_known_hosts_path) names another one for %s",
			Fingerprint(certificate.SignatureKey), k.path, name)
	case isCertificate:
		return NotCertified, fmt.Sprintf("its certificate is not valid: %v", err)
	case len(keys) == 0:
		return NotCertified, fmt.Sprintf("%s (ssh_known_hosts_path) names a CA for %s (@cert-authority), and the key has no certificate", k.path, name)
	}
	var has []string
	for _, entry := range keys {
		has = append(has, fmt.Sprintf("%s %s in line %d", entry.Key.Type(), Fingerprint(entry.Key), entry.Line))
	}
	return KeyDiffers, fmt.Sprintf("%s (ssh_known_hosts_path) has for %s: %s", k.path, name, strings.Join(has, ", "))
}

// describeMissing describes the name that the file lacks. A name without a port, and a pattern
// such as *, mean only port 22.
func (k *knownHosts) describeMissing(name, address string) string {
	text := fmt.Sprintf("%s (ssh_known_hosts_path) has no line for %s", k.path, name)
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return text
	}
	if keys, authorities := k.entries(net.JoinHostPort(host, "22")); len(keys)+len(authorities) > 0 {
		text += fmt.Sprintf("; its line for %s is only for port 22", knownhosts.Normalize(host))
	}
	return text
}

func hasKey(key ssh.PublicKey) func(knownhosts.KnownKey) bool {
	return func(entry knownhosts.KnownKey) bool { return string(entry.Key.Marshal()) == string(key.Marshal()) }
}

// noKey is a key that no file has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("there is no such key") }

// anyAddress is used where only the name counts.
var anyAddress = &net.TCPAddr{IP: net.IPv4zero, Port: 22}
