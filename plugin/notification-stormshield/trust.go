package main

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"notification-stormshield/config"
	"notification-stormshield/stormshield/serverd"
	"notification-stormshield/stormshield/shell"
)

func trustCommand() *cobra.Command {
	var which selection
	cmd := &cobra.Command{
		Use:   "trust -c FILE [-n NAME]",
		Short: "Show the fingerprints of the appliance's SSH host key and API certificate",
		Long: `Asks the appliance for its SSH host key and its API certificate, and prints
the lines that make the configuration trust them. No secret is sent. Compare
the fingerprints with what the appliance itself shows before you paste them.`,
		Example: "  notification-stormshield trust -c /etc/crowdsec/notifications/stormshield.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := which.load(config.LoadStranger)
			if err != nil {
				return err
			}
			return trust(cmd, d.Stormshield)
		},
	}
	which.flags(cmd)
	return cmd
}

func trust(cmd *cobra.Command, s config.Stormshield) error {
	out := cmd.OutOrStdout()
	key, overSSH := shell.HostKey(cmd.Context(), shell.Config{Host: s.Host, Port: s.SSHPort, LegacyAlgorithms: s.SSHLegacyAlgorithms})
	if overSSH == nil {
		fmt.Fprintf(out, "# SSH host key of %s, %s\nssh_host_key: %q\n", s.Host, key.Type(), ssh.FingerprintSHA256(key))
	}
	certificate, overTLS := serverd.Certificate(cmd.Context(), s.Host, s.APIPort)
	if overTLS == nil {
		fmt.Fprintf(out, "# API certificate of %s, issued by %q, until %s\napi_cert_fingerprint: %q\n", certificate.Subject.CommonName,
			certificate.Issuer.CommonName, certificate.NotAfter.Format("2006-01-02"), serverd.Fingerprint(sha256.Sum256(certificate.Raw)))
	}
	return errors.Join(overSSH, overTLS)
}
