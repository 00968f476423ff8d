package main

import (
	"cmp"
	"fmt"
	"strings"

	"notification-stormshield/plugin/plugintest"
)

// localAPICommand is a command of scripts.
func (s *stage) localAPICommand(args []string) error {
	switch {
	case strings.Join(args, " ") == "serve":
		return s.configure(fmt.Sprintf("lapi:\n  url: %s\n  key: %q\n", s.local.URL(), s.local.Key))
	case len(args) == 2 && args[0] == "list":
		s.local.ListAs(cmp.Or(s.decided[args[1]], plugintest.NewUUID()), args[1])
	case len(args) == 2 && args[0] == "unlist":
		s.local.Unlist(args[1])
	case len(args) == 1 && (args[0] == "refuse" || args[0] == "heal"):
		s.local.Refuse(args[0] == "refuse")
	default:
		return fmt.Errorf("lapi serve, list ADDRESS, unlist ADDRESS, refuse or heal, not %q", args)
	}
	return nil
}
