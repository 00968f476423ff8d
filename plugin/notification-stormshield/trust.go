package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	"notification-stormshield/config"
	"notification-stormshield/stormshield/identity"
)

type trustOptions struct {
	selection
	ssh bool // ask SSH also without credentials for it
}

func trustCommand() command {
	var o trustOptions
	return command{
		usage:   "trust [-c FILE] [-n NAME] [--ssh]",
		summary: "Show the fingerprints of the appliance's SSH host keys and API certificate",
		help: `Asks the appliance for its SSH host keys and its API certificate, and prints
the lines that make the configuration trust them. Of several host keys it pins
the best one, and lists the others. It sends no secret. Compare the fingerprints
with those that the appliance itself shows before you paste them. Without
credentials for SSH in the configuration it asks the API alone, unless you give
--ssh.

With --json: host, ssh_host_key, ssh_key_type (of the key to pin), ssh_host_keys
(every key, each with type and fingerprint), api_cert_fingerprint,
api_cert_name, api_cert_issuer, api_cert_until (a time). If SSH or the API does
not answer, its values are missing.`,
		example: "  crowdsec-stormshield trust",
		bind: func(flags *pflag.FlagSet) {
			o.bind(flags)
			flags.BoolVar(&o.ssh, "ssh", false, "ask for the SSH host keys, also without credentials for SSH")
		},
		run: func(ctx context.Context, _ []string, out output) error { return runTrust(ctx, o, out) },
	}
}

func runTrust(ctx context.Context, o trustOptions, out output) error {
	d, err := o.load(config.LoadUnidentified)
	if err != nil {
		return err
	}
	s := d.Stormshield
	found, err := identity.Ask(ctx, identity.Target{
		Host: s.Host, SSHPort: s.SSHPort, APIPort: s.APIPort, LegacyAlgorithms: s.SSHLegacyAlgorithms, WithoutSSH: !s.UsesSSH() && !o.ssh,
	})
	if o.json {
		return errors.Join(err, out.printJSON(found))
	}
	printIdentity(out.stdout, found)
	return err
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
