package setup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"notification-stormshield/config"
	"notification-stormshield/stormshield/identity"
)

// confirmIdentity shows the appliance's fingerprints, and pins them once flags or a typed yes confirm them. It sends no
// secret.
func (s *setup) confirmIdentity(ctx context.Context) error {
	d := &s.document.Stormshield
	what, hint := "its SSH host key and its API certificate", "SSH is off on an appliance until you switch it on, and SSH and the web administration "+
		"must both be allowed from this machine; other ports with --ssh-port and --api-port; an old SNS may need --ssh-legacy-algorithms; --no-ssh works without SSH"
	question, flags := "Do both fingerprints match the appliance?", "--ssh-host-key and --api-cert-fingerprint"
	if s.NoSSH {
		what, hint = "its API certificate", "the web administration must be allowed from this machine; another port with --api-port"
		question, flags = "Does the fingerprint match the appliance?", "--api-cert-fingerprint"
	}
	fmt.Fprintf(s.Out, "\nAsking %s for %s ...\n", d.Host, what)
	found, err := identity.Ask(ctx, identity.Target{
		Host: d.Host, SSHPort: d.SSHPort, APIPort: d.APIPort, LegacyAlgorithms: d.SSHLegacyAlgorithms, WithoutSSH: s.NoSSH,
	})
	if err != nil {
		return fmt.Errorf("%w\nnothing was written (hint: %s)", err, hint)
	}
	certificate, err := config.ParseFingerprint(found.CertFingerprint)
	if err != nil {
		return fmt.Errorf("read the fingerprint of the certificate: %w", err)
	}
	found.Pin(s.SSHHostKey)
	s.printIdentity(found, certificate)
	confirmed, err := s.compareIdentity(found, certificate)
	if err != nil {
		return err
	}
	if !confirmed {
		fmt.Fprint(s.Out, howToCompareCertificate)
		if !s.NoSSH {
			fmt.Fprintf(s.Out, howToCompareHostKey, knownHostsName(*d))
		}
		confirmed, err = s.dialogue.confirm(ctx, question)
		if err != nil {
			return fmt.Errorf("%w before the appliance was confirmed; nothing was written (hint: a script gives %s; --yes does not answer this)", err, flags)
		}
	}
	if !confirmed {
		return errors.New("the appliance is not confirmed; no password was sent, and nothing was written")
	}
	d.SSHHostKey, d.APICertFingerprint = found.HostKey, certificate
	return nil
}

const howToCompareCertificate = `
Compare with the appliance, over a connection that you trust. A browser beside the
appliance shows the certificate's SHA-256 fingerprint.
`

const howToCompareHostKey = `On a machine that has logged in to the appliance before, ssh-keygen -l -F %s
shows its host key.
`

// knownHostsName is the appliance's name in OpenSSH's known_hosts, quoted for a shell.
func knownHostsName(d config.Stormshield) string {
	if d.SSHPort == 22 {
		return d.Host
	}
	return fmt.Sprintf("'[%s]:%d'", d.Host, d.SSHPort)
}

func (s *setup) printIdentity(i identity.Identity, certificate config.Fingerprint) {
	var pairs []string
	for _, b := range certificate {
		pairs = append(pairs, fmt.Sprintf("%02X", b))
	}
	fmt.Fprintln(s.Out)
	if i.HostKey != "" {
		fmt.Fprintf(s.Out, "  SSH host key     %s (%s)\n", i.HostKey, i.HostKeyType)
	}
	for _, key := range i.UnpinnedKeys() {
		fmt.Fprintf(s.Out, "    not pinned     %s (%s)\n", key.Fingerprint, key.Type)
	}
	fmt.Fprintf(s.Out, `  API certificate  %s
                   %s:
                   %s
                   of %q, issued by %q, until %s
`, i.CertFingerprint, strings.Join(pairs[:16], ":"), strings.Join(pairs[16:], ":"), i.CertName, i.CertIssuer, i.CertUntil.Format(time.DateOnly))
}

// compareIdentity reports whether flags confirm both fingerprints. A fingerprint that differs from its flag is an error.
func (s *setup) compareIdentity(i identity.Identity, certificate config.Fingerprint) (bool, error) {
	const differs = "the appliance shows the %s %s, and %s was expected; no password was sent, and nothing was written " +
		"(hint: find out which one is the appliance's; another machine may answer in its place)"
	if s.SSHHostKey != "" && s.SSHHostKey != i.HostKey {
		return false, fmt.Errorf(differs, "SSH host key", i.HostKey, s.SSHHostKey)
	}
	if s.APICertFingerprint != "" {
		expected, err := config.ParseFingerprint(s.APICertFingerprint)
		if err != nil || expected != certificate {
			return false, fmt.Errorf(differs, "API certificate", i.CertFingerprint, s.APICertFingerprint)
		}
	}
	if s.SSHHostKey == "" && !s.NoSSH || s.APICertFingerprint == "" {
		return false, nil
	}
	if s.NoSSH {
		fmt.Fprintln(s.Out, "\nThe fingerprint is as expected.")
	} else {
		fmt.Fprintln(s.Out, "\nBoth are as expected.")
	}
	return true, nil
}
