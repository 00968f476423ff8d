package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/enforcer"
	"notification-stormshield/plugin/ledger"
)

// usualFile is where a notification's configuration is, unless -c says otherwise.
const usualFile = "/etc/crowdsec/notifications/stormshield.yaml"

// usualCrowdSec is where CrowdSec's configuration is, unless --crowdsec says otherwise.
const usualCrowdSec = "/etc/crowdsec/config.yaml"

// selection is which configuration a command is about.
type selection struct {
	file string
	name string
}

func (s *selection) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.file, "config", "c", usualFile, "the notification's YAML `file`")
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

// books opens the state of a configuration for a command. It is nil when there
// is none yet.
func books(ctx context.Context, d config.Document, stderr io.Writer) (*ledger.Ledger, error) {
	return booksIf(ctx, d, stderr, plugin.StateOf(d).Path)
}

// firstBooks is books for a command that logs in before the plugin has ever
// run: it begins the state if its folder is there, so that a refused login is
// remembered. Not so in a folder where others write: one of them may be the
// plugin.
func firstBooks(ctx context.Context, d config.Document, stderr io.Writer) (*ledger.Ledger, error) {
	if err := becomeOwner(d); err != nil {
		return nil, err
	}
	info, err := os.Stat(d.StateDir)
	if err != nil || info.Mode().Perm()&0o022 != 0 {
		return books(ctx, d, stderr)
	}
	if owner, err := plugin.OwnerOf(d.StateDir); err != nil || owner.UID != os.Geteuid() {
		return books(ctx, d, stderr)
	}
	return booksIf(ctx, d, stderr, d.StateDir)
}

// booksIf opens the state if a path is there.
func booksIf(ctx context.Context, d config.Document, stderr io.Writer, there string) (*ledger.Ledger, error) {
	if err := becomeOwner(d); err != nil {
		return nil, err
	}
	if _, err := os.Stat(there); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("look for the state: %w", err)
	}
	return plugin.StateOf(d).Open(ctx, hclog.New(&hclog.LoggerOptions{Output: stderr, Level: hclog.Warn}))
}

// open reads the configuration that was selected, and opens the state that the
// plugin has made for it.
func (s *selection) open(cmd *cobra.Command) (config.Document, *ledger.Ledger, error) {
	d, err := s.load(config.Load)
	if err != nil {
		return config.Document{}, nil, err
	}
	state, err := books(cmd.Context(), d, cmd.ErrOrStderr())
	if err == nil && state == nil {
		err = errors.New("there is no state yet: CrowdSec has not started the plugin with this configuration (hint: name " +
			d.Name + " under notifications: in profiles.yaml and restart CrowdSec)")
	}
	return d, state, err
}

// logins keeps a command to the login hold-off that the plugin keeps to.
type logins struct {
	ledger      *ledger.Ledger // nil: there is no state
	credentials string
	described   config.Stormshield
}

// allowed returns an error while no login may be tried.
func (l logins) allowed(ctx context.Context) error {
	if l.ledger == nil {
		return nil
	}
	hold, held, err := l.ledger.HeldOff(ctx, l.credentials, time.Now())
	if err != nil || !held {
		return err
	}
	return fmt.Errorf("no login is tried before %s; %d failed in a row, the last: %s (hint: %s)",
		hold.Until.Local().Format(time.DateTime), hold.Failures, hold.Reason, hold.Advice())
}

// came records the results of logins, even if the command was interrupted.
func (l logins) came(ctx context.Context, result error) error {
	if l.ledger == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	var failed *enforcer.LoginError
	if errors.As(loginError(result, l.described), &failed) {
		_, err := l.ledger.LoginFailed(ctx, l.credentials, failed.Failure(), time.Now())
		return err
	}
	if result == nil {
		return l.ledger.LoginAccepted(ctx, l.credentials)
	}
	return nil
}
