package main

import (
	"context"
	"fmt"

	"notification-stormshield/config"
)

func configCommand() command {
	return command{
		usage:   "config",
		summary: "Print a commented sample configuration",
		example: "  crowdsec-stormshield config > /etc/crowdsec/notifications/stormshield.yaml",
		run: func(_ context.Context, _ []string, out output) error {
			_, err := fmt.Fprint(out.stdout, config.Sample())
			return err
		},
	}
}
