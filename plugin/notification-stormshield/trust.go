package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"notification-stormshield/config"
	"notification-stormshield/stormshield/identity"
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
			s := d.Stormshield
			found, err := identity.Ask(cmd.Context(), identity.Target{Host: s.Host, SSHPort: s.SSHPort, APIPort: s.APIPort, LegacyAlgorithms: s.SSHLegacyAlgorithms})
			if asJSON {
				return errors.Join(err, printJSON(cmd.OutOrStdout(), found))
			}
			printIdentity(cmd.OutOrStdout(), found)
			return err
		},
	}
	which.flags(cmd)
	addJSON(cmd, &asJSON)
	return cmd
}

// printIdentity prints lines to paste into the configuration.
func printIdentity(out io.Writer, i identity.Identity) {
	if i.HostKey != "" {
		fmt.Fprintf(out, "# SSH host key of %s, %s\n", i.Host, i.HostKeyType)
		if others := i.UnpinnedKeys(); len(others) > 0 {
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
