package shell

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// hostKeyTypes returns the types of host key to ask for, the best first.
func (c Config) hostKeyTypes() []string {
	types := []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA}
	if c.LegacyAlgorithms {
		types = append(types, "ssh-dss") // x/crypto/ssh deprecates its constant
	}
	return append(types, ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01, ssh.CertAlgoRSAv01)
}

func isCertificate(keyType string) bool { return strings.HasSuffix(keyType, "-cert-v01@openssh.com") }

// signatures returns the algorithms by which keys of these types sign.
func signatures(keyTypes []string) []string {
	var algorithms []string
	for _, t := range keyTypes {
		switch t {
		case ssh.KeyAlgoRSA:
			algorithms = append(algorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		case ssh.CertAlgoRSAv01:
			algorithms = append(algorithms, ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01)
		}
		algorithms = append(algorithms, t)
	}
	return algorithms
}

// firstOf puts some types before all others.
func firstOf(some, all []string) []string {
	types := slices.Clone(some)
	for _, t := range all {
		if !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	return types
}

// askEach connects and asks for a host key, first of the types in wanted. A server
// shows one of its keys, and another one may be the trusted one. So after a refused
// key askEach connects again and asks for the other types in wanted. A refused key
// ends a connection before any secret is sent. The error is that of the first key.
func askEach(wanted, all []string, connect func(algorithms []string) error) error {
	first := connect(signatures(firstOf(wanted, all)))
	latest := first
	var refused *HostKeyError
	for errors.As(latest, &refused) {
		shown := slices.Index(wanted, refused.keyType)
		if shown < 0 || len(wanted) == 1 {
			return first
		}
		wanted = slices.Delete(slices.Clone(wanted), shown, shown+1)
		latest = connect(signatures(wanted))
	}
	var negotiation *ssh.AlgorithmNegotiationError
	if errors.As(latest, &negotiation) && negotiation.What == "host key" {
		return first
	}
	return latest
}

// HostKeys returns the keys that the appliance shows, the best first. It does not
// check whether they are trusted, and sends no secret. It makes one connection a key
// and one more. If a later connection fails, it returns the keys that it has.
func HostKeys(ctx context.Context, c Config) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	look := func(_ string, _ net.Addr, key ssh.PublicKey) error {
		same := func(k ssh.PublicKey) bool { return Fingerprint(k) == Fingerprint(key) }
		if !slices.ContainsFunc(keys, same) {
			keys = append(keys, certified(key))
		}
		return &HostKeyError{keyType: key.Type()}
	}
	all := c.hostKeyTypes()
	err := askEach(all, all, func(algorithms []string) error {
		_, err := c.connect(ctx, &login{}, look, algorithms)
		return err
	})
	if len(keys) == 0 {
		return nil, fmt.Errorf("ask %s for its SSH host keys: %w", c.address(), err)
	}
	return keys, nil
}

// NeedsLegacy reports whether err says that the appliance offers only old
// algorithms, which [Config.LegacyAlgorithms] offers too.
func NeedsLegacy(err error) bool {
	var negotiation *ssh.AlgorithmNegotiationError
	if !errors.As(err, &negotiation) {
		return false
	}
	old := ssh.InsecureAlgorithms()
	return slices.ContainsFunc(negotiation.RequestedAlgorithms, func(offered string) bool {
		return slices.Contains(slices.Concat(old.KeyExchanges, old.HostKeys, old.Ciphers, old.MACs), offered) &&
			!slices.Contains(negotiation.SupportedAlgorithms, offered)
	})
}

// offerLegacy adds the algorithms that x/crypto/ssh leaves out by default.
func offerLegacy(config *ssh.ClientConfig) {
	supported, insecure := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	config.KeyExchanges = append(supported.KeyExchanges, insecure.KeyExchanges...)
	config.Ciphers = append(supported.Ciphers, insecure.Ciphers...)
	config.MACs = append(supported.MACs, insecure.MACs...)
}
