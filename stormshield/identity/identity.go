// Package identity asks an appliance for the keys that prove its identity: the host keys of its SSH server, and the
// certificate of its HTTPS API. [Ask] returns both as an [Identity]. It never logs in and never sends a secret.
package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

// Target is the appliance to ask.
type Target struct {
	Host             string
	SSHPort, APIPort int
	// LegacyAlgorithms also allows the SSH algorithms of old versions of SNS.
	LegacyAlgorithms bool
	WithoutSSH       bool // ask the API alone
}

// Identity is the answer of an appliance. If SSH or the API does not answer, its fields are empty.
type Identity struct {
	Host            string     `json:"host"`
	HostKey         string     `json:"ssh_host_key,omitempty"` // the fingerprint to pin
	HostKeyType     string     `json:"ssh_key_type,omitempty"`
	HostKeys        []HostKey  `json:"ssh_host_keys,omitempty"` // the best one comes first
	CertFingerprint string     `json:"api_cert_fingerprint,omitempty"`
	CertName        string     `json:"api_cert_name,omitempty"`
	CertIssuer      string     `json:"api_cert_issuer,omitempty"`
	CertUntil       *time.Time `json:"api_cert_until,omitempty"`
}

// HostKey is one key of the SSH server.
type HostKey struct {
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
}

// Ask asks SSH and the API, and pins the best host key. The error says which of the two does not answer. The identity
// then holds the answer of the other one.
func Ask(ctx context.Context, t Target) (Identity, error) {
	i := Identity{Host: t.Host}
	var sshErr error
	if !t.WithoutSSH {
		sshErr = i.askSSH(ctx, t)
	}
	certificate, apiErr := serverd.Certificate(ctx, t.Host, t.APIPort)
	if apiErr == nil {
		until := certificate.NotAfter.UTC()
		i.CertFingerprint = serverd.Fingerprint(sha256.Sum256(certificate.Raw))
		i.CertName, i.CertIssuer, i.CertUntil = certificate.Subject.CommonName, certificate.Issuer.CommonName, &until
	}
	return i, errors.Join(sshErr, apiErr)
}

// askSSH asks for the host keys, and pins the best one.
func (i *Identity) askSSH(ctx context.Context, t Target) error {
	keys, err := shell.HostKeys(ctx, shell.Config{Host: t.Host, Port: t.SSHPort, LegacyAlgorithms: t.LegacyAlgorithms})
	for _, key := range keys {
		i.HostKeys = append(i.HostKeys, HostKey{key.Type(), shell.Fingerprint(key)})
	}
	if len(keys) > 0 {
		i.Pin(i.HostKeys[0].Fingerprint)
	}
	if shell.NeedsLegacy(err) {
		err = fmt.Errorf("%w (hint: set ssh_legacy_algorithms: true, which allows the algorithms of old versions of SNS, and ask again)", err)
	}
	return err
}

// Pin pins the host key with a fingerprint, if the appliance has that key.
func (i *Identity) Pin(fingerprint string) {
	for _, key := range i.HostKeys {
		if key.Fingerprint == fingerprint {
			i.HostKey, i.HostKeyType = key.Fingerprint, key.Type
		}
	}
}

// UnpinnedKeys returns the host keys that are not pinned.
func (i *Identity) UnpinnedKeys() []HostKey {
	return slices.DeleteFunc(slices.Clone(i.HostKeys), func(k HostKey) bool { return k.Fingerprint == i.HostKey })
}
