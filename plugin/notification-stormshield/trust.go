package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"notification-stormshield/config"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

func trustCommand() *cobra.Command {
	var which selection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "trust [-c FILE] [-n NAME]",
		Short: "Show the fingerprints of the appliance's SSH host key and API certificate",
		Long: `Asks the appliance for its SSH host key and its API certificate, and prints
the lines that make the configuration trust them. No secret is sent. Compare
the fingerprints with what the appliance itself shows before you paste them.

With --json: host, ssh_host_key, ssh_key_type, api_cert_fingerprint,
api_cert_name, api_cert_issuer, api_cert_until (a time). What could not be asked
is missing.`,
		Example: "  crowdsec-stormshield trust",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := which.load(config.LoadStranger)
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
	CertFingerprint string     `json:"api_cert_fingerprint,omitempty"`
	CertName        string     `json:"api_cert_name,omitempty"`
	CertIssuer      string     `json:"api_cert_issuer,omitempty"`
	CertUntil       *time.Time `json:"api_cert_until,omitempty"`
}

// ends asks both; the error is of those that did not answer.
func ends(ctx context.Context, s config.Stormshield) (identity, error) {
	shown := identity{Host: s.Host}
	key, overSSH := shell.HostKey(ctx, shell.Config{Host: s.Host, Port: s.SSHPort, LegacyAlgorithms: s.SSHLegacyAlgorithms})
	if overSSH == nil {
		shown.HostKey, shown.HostKeyType = ssh.FingerprintSHA256(key), key.Type()
	}
	certificate, overTLS := serverd.Certificate(ctx, s.Host, s.APIPort)
	if overTLS == nil {
		shown.CertFingerprint = serverd.Fingerprint(sha256.Sum256(certificate.Raw))
		shown.CertName, shown.CertIssuer = certificate.Subject.CommonName, certificate.Issuer.CommonName
		shown.CertUntil = moment(certificate.NotAfter)
	}
	return shown, errors.Join(overSSH, overTLS)
}

// print prints lines to paste.
func (i identity) print(out io.Writer) {
	if i.HostKey != "" {
		fmt.Fprintf(out, "# SSH host key of %s, %s\nssh_host_key: %q\n", i.Host, i.HostKeyType, i.HostKey)
	}
	if i.CertFingerprint != "" {
		fmt.Fprintf(out, "# API certificate of %s, issued by %q, until %s\napi_cert_fingerprint: %q\n",
			i.CertName, i.CertIssuer, i.CertUntil.Format(time.DateOnly), i.CertFingerprint)
	}
}
