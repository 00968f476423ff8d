package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"notification-stormshield/config"
)

func configCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "config",
		Short:   "Print a commented sample configuration",
		Example: "  crowdsec-stormshield config > /etc/crowdsec/notifications/stormshield.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), config.Sample())
			return err
		},
	}
}
