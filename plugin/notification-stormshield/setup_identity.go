package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"notification-stormshield/config"
)

// pinExpected pins the host key of the flag, if the appliance shows it.
func (s *setup) pinExpected(shown *identity) {
	for _, key := range shown.HostKeys {
		if key.Fingerprint == s.sshHostKey {
			shown.pin(key)
		}
	}
}

// identify shows what the appliance shows of itself, and puts it into the
// document once it is known to be the appliance's own. No secret is sent.
func (s *setup) identify(ctx context.Context) error {
	d := &s.document.Stormshield
	fmt.Fprintf(s.out, "\nAsking %s for its SSH host key and its API certificate ...\n", d.Host)
	shown, err := ends(ctx, *d)
	if err != nil {
		return fmt.Errorf("%w\nnothing was written (hint: SSH is off on an appliance until you switch it on, and SSH and the web administration "+
			"must both be allowed from this machine; other ports with --ssh-port and --api-port; an old SNS may need --ssh-legacy-algorithms)", err)
	}
	certificate, err := config.ParseFingerprint(shown.CertFingerprint)
	if err != nil {
		return fmt.Errorf("read the fingerprint of the certificate: %w", err)
	}
	s.pinExpected(&shown)
	s.printIdentity(shown, certificate)
	expected, err := s.expected(shown, certificate)
	if err != nil {
		return err
	}
	if !expected {
		fmt.Fprintf(s.out, compareThem, knownAs(*d))
		own, err := s.dialogue.confirm(ctx, "Are these the appliance's own?")
		if err != nil {
			return fmt.Errorf("%w before it was confirmed that these are the appliance's own; nothing was written "+
				"(hint: a script gives --ssh-host-key and --api-cert-fingerprint; --yes does not answer this)", err)
		}
		if !own {
			return errors.New("the appliance is not confirmed; no password was sent, and nothing was written")
		}
	}
	d.SSHHostKey, d.APICertFingerprint = shown.HostKey, certificate
	return nil
}

const compareThem = `
Compare them with what the appliance shows over a way that you trust: a browser
beside it shows the certificate's SHA-256 fingerprint, and on a machine that has
logged in to it before, ssh-keygen -l -F %s shows its host key.
`

// knownAs is how OpenSSH's known_hosts names the appliance, for a shell.
func knownAs(d config.Stormshield) string {
	if d.SSHPort == 22 {
		return d.Host
	}
	return fmt.Sprintf("'[%s]:%d'", d.Host, d.SSHPort)
}

func (s *setup) printIdentity(shown identity, certificate config.Fingerprint) {
	var pairs []string
	for _, b := range certificate {
		pairs = append(pairs, fmt.Sprintf("%02X", b))
	}
	fmt.Fprintf(s.out, "\n  SSH host key     %s (%s)\n", shown.HostKey, shown.HostKeyType)
	for _, key := range shown.others() {
		fmt.Fprintf(s.out, "    not pinned     %s (%s)\n", key.Fingerprint, key.Type)
	}
	fmt.Fprintf(s.out, `  API certificate  %s
                   %s:
                   %s
                   of %q, issued by %q, until %s
`, shown.CertFingerprint, strings.Join(pairs[:16], ":"), strings.Join(pairs[16:], ":"),
		shown.CertName, shown.CertIssuer, shown.CertUntil.Format(time.DateOnly))
}

// expected reports that flags state all of what is shown. What is shown otherwise
// than a flag states is an error.
func (s *setup) expected(shown identity, certificate config.Fingerprint) (bool, error) {
	const unlike = "the appliance shows the %s %s, and %s was expected; no password was sent, and nothing was written " +
		"(hint: find out which is the appliance's own before anything else; somebody may stand in between)"
	if s.sshHostKey != "" && s.sshHostKey != shown.HostKey {
		return false, fmt.Errorf(unlike, "SSH host key", shown.HostKey, s.sshHostKey)
	}
	if s.apiCertFingerprint != "" {
		wanted, err := config.ParseFingerprint(s.apiCertFingerprint)
		if err != nil || wanted != certificate {
			return false, fmt.Errorf(unlike, "API certificate", shown.CertFingerprint, s.apiCertFingerprint)
		}
	}
	if s.sshHostKey == "" || s.apiCertFingerprint == "" {
		return false, nil
	}
	fmt.Fprintln(s.out, "\nBoth are what was expected.")
	return true, nil
}
