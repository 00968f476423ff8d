package main

import (
	"fmt"
	"strings"
)

// localAPICommand is a command of scripts.
func (s *stage) localAPICommand(args []string) error {
	switch {
	case strings.Join(args, " ") == "serve":
		return s.configure(fmt.Sprintf("lapi:\n  url: %s\n  key: %q\n", s.local.URL(), s.local.Key))
	case len(args) == 2 && args[0] == "list":
		s.local.List(args[1])
	case len(args) == 2 && args[0] == "unlist":
		s.local.Unlist(args[1])
	case len(args) == 1 && (args[0] == "refuse" || args[0] == "heal"):
		s.local.Refuse(args[0] == "refuse")
	default:
		return fmt.Errorf("lapi serve, list ADDRESS, unlist ADDRESS, refuse or heal, not %q", args)
	}
	return nil
}
