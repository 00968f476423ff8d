package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"notification-stormshield/appliance"
	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/plugin/lockout"
	"notification-stormshield/setup"
)

// usualCrowdSec is where CrowdSec's configuration is, unless --crowdsec says otherwise.
const usualCrowdSec = "/etc/crowdsec/config.yaml"

// selection is which configuration a command is about.
type selection struct {
	file string
	name string
}

func (s *selection) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.file, "config", "c", setup.DefaultFile, "the notification's YAML `file`")
	cmd.Flags().StringVarP(&s.name, "name", "n", "", "the notification's `name`, if the file holds several")
}

// load reads the configuration that was selected.
func (s *selection) load(read func(path string) ([]config.Document, error)) (config.Document, error) {
	documents, err := read(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return config.Document{}, fmt.Errorf("%w (hint: say which file with -c FILE, or make one with `setup`)", err)
	}
	if err != nil {
		return config.Document{}, err
	}
	return config.Select(documents, s.name)
}

// becomeOwner changes from root to the owner of the state, so that the plugin can
// open every file that a command makes. Without a state folder there is no owner.
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
	for _, give := range []func() error{
		func() error { return syscall.Setgroups([]int{owner.GID}) },
		func() error { return syscall.Setgid(owner.GID) },
		func() error { return syscall.Setuid(owner.UID) },
	} {
		if err := give(); err != nil {
			return fmt.Errorf("become %s, who owns the state in %s: %w", name, d.StateDir, err)
		}
	}
	if _, err := os.Stat(d.StateDir); err != nil {
		return fmt.Errorf("look for the state as %s, who owns it: %w (hint: let %[1]s through each folder above it; namei -l %[3]s shows them)", name, err, d.StateDir)
	}
	return nil
}

// readSecrets reads the files that hold the document's secrets. It runs as the owner
// of the state, who is the plugin's user, so that a command finds the same faults as
// the plugin.
func readSecrets(d *config.Document) error {
	if err := becomeOwner(*d); err != nil {
		return err
	}
	return d.ReadSecrets()
}

// opener opens a state: [plugin.State.Open], or [plugin.State.OpenReadOnly] for a command that only reads.
type opener func(plugin.State, context.Context) (*ledger.Ledger, error)

// books opens the state of a configuration for a command. It is nil when there is none yet.
func books(ctx context.Context, d config.Document, open opener) (*ledger.Ledger, error) {
	if err := becomeOwner(d); err != nil {
		return nil, err
	}
	state := plugin.StateOf(d)
	switch _, err := os.Stat(state.Path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for the state: %w", err)
	}
	return open(state, ctx)
}

// open reads the configuration that was selected, and opens the state that the
// plugin has made for it.
func (s *selection) open(cmd *cobra.Command, open opener) (config.Document, *ledger.Ledger, error) {
	d, err := s.load(config.Load)
	if err != nil {
		return config.Document{}, nil, err
	}
	state, err := books(cmd.Context(), d, open)
	if err == nil && state == nil {
		err = errors.New("there is no state yet: CrowdSec has not started the plugin with this configuration (hint: name " +
			d.Name + " under notifications: in profiles.yaml and restart CrowdSec)")
	}
	return d, state, err
}

// logins applies the plugin's login hold-off to a command.
type logins struct {
	lockout     lockout.File
	credentials string
}

// loginsOf returns the hold-off of a configuration whose secrets were read.
func loginsOf(d config.Document) logins {
	return logins{lockout.File{Path: plugin.StateOf(d).Lockout}, plugin.Credentials(d)}
}

// allowed returns an error while no login may be tried.
func (l logins) allowed() error {
	hold, held, err := l.lockout.Current(l.credentials, time.Now())
	if err != nil || !held {
		return err
	}
	return fmt.Errorf("no login is tried before %s; %d failed in a row, the last: %s (hint: %s)",
		hold.Until.Local().Format(time.DateTime), hold.Failures, hold.Reason, hold.Advice())
}

// record records how logins went. Without a hold-off file, it makes one only in a folder that this user alone
// can write to. Elsewhere the plugin may run as another user, who could not open the file.
func (l logins) record(result error) error {
	var failed *appliance.LoginError
	if errors.As(result, &failed) {
		if _, err := os.Stat(l.lockout.Path); err != nil && !isOwnFolder(filepath.Dir(l.lockout.Path)) {
			return nil
		}
		_, err := l.lockout.RecordFailure(l.credentials, enforcer.FailureOf(failed), time.Now())
		return err
	}
	if result == nil {
		return l.lockout.RecordSuccess(l.credentials)
	}
	return nil
}

// isOwnFolder reports whether a folder is of this process's user, and nobody else writes in it.
func isOwnFolder(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o022 != 0 {
		return false
	}
	owner, err := plugin.OwnerOf(path)
	return err == nil && owner.UID == os.Geteuid()
}
