package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
)

// becomeOwner changes from root to the owner of the state, so that the plugin can open every file that a command makes.
// Without a state folder it changes nothing.
func becomeOwner(d config.Document) error {
	if os.Geteuid() != 0 {
		return nil
	}
	owner, err := plugin.StateOf(d).Owner()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the state: %w", err)
	}
	if owner.UID == 0 {
		return nil
	}
	name := plugin.UserName(owner.UID)
	if err := errors.Join(syscall.Setgroups([]int{owner.GID}), syscall.Setgid(owner.GID), syscall.Setuid(owner.UID)); err != nil {
		return fmt.Errorf("become %s, who owns the state in %s: %w", name, d.StateDir, err)
	}
	if _, err := os.Stat(d.StateDir); err != nil {
		return fmt.Errorf("look for the state as %s, who owns it: %w "+
			"(hint: let %[1]s through each folder above it; namei -l %[3]s shows them)", name, err, d.StateDir)
	}
	return nil
}

// readSecrets reads the files of the document's secrets. It does so as the owner of the state, who is the plugin's user,
// so that a command finds the same faults as the plugin.
func readSecrets(d *config.Document) error {
	if err := becomeOwner(*d); err != nil {
		return err
	}
	return d.ReadSecrets()
}
