package shell

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// HostKeyError says that the appliance shows a key that is not the configured
// one. No secret was sent.
type HostKeyError struct {
	Shown  string // SHA256:… of the key that was shown
	Reason string
}

func (e *HostKeyError) Error() string {
	return fmt.Sprintf("the host key shown (%s) is not trusted: %s", e.Shown, e.Reason)
}

// trust decides on host keys.
type trust struct {
	fingerprint string
	known       ssh.HostKeyCallback
	insecure    bool
}

func newTrust(c Config) (*trust, error) {
	t := &trust{fingerprint: strings.TrimRight(c.HostKey, "="), insecure: c.InsecureHostKey}
	if t.fingerprint == "" && c.KnownHostsPath != "" {
		known, err := knownhosts.New(c.KnownHostsPath)
		if err != nil {
			return nil, fmt.Errorf("read the known host keys (ssh_known_hosts_path): %w", err)
		}
		t.known = known
	}
	return t, nil
}

func (t *trust) check(hostname string, remote net.Addr, key ssh.PublicKey) error {
	shown := ssh.FingerprintSHA256(key)
	switch {
	case t.fingerprint != "":
		if shown != t.fingerprint {
			return &HostKeyError{Shown: shown, Reason: "the configuration pins " + t.fingerprint}
		}
	case t.known != nil:
		if err := t.known(hostname, remote, key); err != nil {
			return &HostKeyError{Shown: shown, Reason: "ssh_known_hosts_path: " + err.Error()}
		}
	case !t.insecure:
		return &HostKeyError{Shown: shown, Reason: "neither a fingerprint nor known hosts are configured"}
	}
	return nil
}

// each tries to connect with each family of host keys until one is trusted: a
// server has several keys, shows the one negotiated, and the pinned one may be
// another. A key that is not trusted ends a connection before any secret.
func (t *trust) each(connect func(algorithms []string) error) error {
	err := connect(nil)
	var changed *HostKeyError
	if !errors.As(err, &changed) {
		return err
	}
	for _, family := range [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA},
	} {
		again := connect(family)
		if !errors.As(again, new(*HostKeyError)) && !NothingInCommon(again) {
			return again
		}
	}
	return err
}

// HostKey returns the key that the appliance shows, whoever it belongs to. No
// secret is sent.
func HostKey(ctx context.Context, c Config) (ssh.PublicKey, error) {
	var shown ssh.PublicKey
	seen := errors.New("seen")
	_, err := c.connect(ctx, nil, func(_ string, _ net.Addr, key ssh.PublicKey) error {
		shown = key
		return seen
	}, nil)
	if shown == nil {
		return nil, fmt.Errorf("ask %s for its SSH host key: %w", c.address(), err)
	}
	return shown, nil
}

// offerLegacy adds the algorithms that x/crypto/ssh leaves out by default.
func offerLegacy(config *ssh.ClientConfig) {
	supported, insecure := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	config.KeyExchanges = append(supported.KeyExchanges, insecure.KeyExchanges...)
	config.Ciphers = append(supported.Ciphers, insecure.Ciphers...)
	config.MACs = append(supported.MACs, insecure.MACs...)
	if config.HostKeyAlgorithms == nil {
		config.HostKeyAlgorithms = append(supported.HostKeys, insecure.HostKeys...)
	}
}
