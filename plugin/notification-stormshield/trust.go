package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"notification-stormshield/config"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

func trustCommand() *cobra.Command {
	var which selection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "trust [-c FILE] [-n NAME]",
		Short: "Show the fingerprints of the appliance's SSH host keys and API certificate",
		Long: `Asks the appliance for its SSH host keys and its API certificate, and prints
the lines that make the configuration trust them. Of several host keys it pins
the best one, and lists the others. No secret is sent. Compare the fingerprints
with what the appliance itself shows before you paste them.

With --json: host, ssh_host_key, ssh_key_type (of the key to pin), ssh_host_keys
(every key, each with type and fingerprint), api_cert_fingerprint,
api_cert_name, api_cert_issuer, api_cert_until (a time). What could not be asked
is missing.`,
		Example: "  crowdsec-stormshield trust",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := which.load(config.LoadUnidentified)
			if err != nil {
				return err
			}
			shown, err := ends(cmd.Context(), d.Stormshield)
			if asJSON {
				return errors.Join(err, printJSON(cmd.OutOrStdout(), shown))
			}
			shown.print(cmd.OutOrStdout())
			return err
		},
	}
	which.flags(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

// identity is what the two ends of an appliance show of themselves.
type identity struct {
	Host            string     `json:"host"`
	HostKey         string     `json:"ssh_host_key,omitempty"`
	HostKeyType     string     `json:"ssh_key_type,omitempty"`
	HostKeys        []hostKey  `json:"ssh_host_keys,omitempty"` // the one to pin comes first
	CertFingerprint string     `json:"api_cert_fingerprint,omitempty"`
	CertName        string     `json:"api_cert_name,omitempty"`
	CertIssuer      string     `json:"api_cert_issuer,omitempty"`
	CertUntil       *time.Time `json:"api_cert_until,omitempty"`
}

// hostKey is one key of the SSH server.
type hostKey struct {
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
}

// ends asks both; the error is of those that did not answer.
func ends(ctx context.Context, s config.Stormshield) (identity, error) {
	shown := identity{Host: s.Host}
	keys, overSSH := shell.HostKeys(ctx, shell.Config{Host: s.Host, Port: s.SSHPort, LegacyAlgorithms: s.SSHLegacyAlgorithms})
	for _, key := range keys {
		shown.HostKeys = append(shown.HostKeys, hostKey{key.Type(), shell.Fingerprint(key)})
	}
	if len(keys) > 0 {
		shown.pin(shown.HostKeys[0])
	}
	if shell.NeedsLegacy(overSSH) {
		overSSH = fmt.Errorf("%w (hint: set ssh_legacy_algorithms: true, which allows the algorithms of old versions of SNS, and ask again)", overSSH)
	}
	certificate, overTLS := serverd.Certificate(ctx, s.Host, s.APIPort)
	if overTLS == nil {
		shown.CertFingerprint = serverd.Fingerprint(sha256.Sum256(certificate.Raw))
		shown.CertName, shown.CertIssuer = certificate.Subject.CommonName, certificate.Issuer.CommonName
		shown.CertUntil = moment(certificate.NotAfter)
	}
	return shown, errors.Join(overSSH, overTLS)
}

// pin chooses one of the keys.
func (i *identity) pin(key hostKey) { i.HostKey, i.HostKeyType = key.Fingerprint, key.Type }

// others are the host keys that are not pinned.
func (i *identity) others() []hostKey {
	return slices.DeleteFunc(slices.Clone(i.HostKeys), func(k hostKey) bool { return k.Fingerprint == i.HostKey })
}

// print prints lines to paste.
func (i *identity) print(out io.Writer) {
	if i.HostKey != "" {
		fmt.Fprintf(out, "# SSH host key of %s, %s\n", i.Host, i.HostKeyType)
		if others := i.others(); len(others) > 0 {
			fmt.Fprintln(out, "# Pin this one. The appliance has others, which need not be pinned:")
			for _, key := range others {
				fmt.Fprintf(out, "#   %s %s\n", key.Fingerprint, key.Type)
			}
		}
		fmt.Fprintf(out, "ssh_host_key: %q\n", i.HostKey)
	}
	if i.CertFingerprint != "" {
		fmt.Fprintf(out, "# API certificate of %s, issued by %q, until %s\napi_cert_fingerprint: %q\n",
			i.CertName, i.CertIssuer, i.CertUntil.Format(time.DateOnly), i.CertFingerprint)
	}
}
