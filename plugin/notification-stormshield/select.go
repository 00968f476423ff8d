package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
	"notification-stormshield/plugin/ledger"
	"notification-stormshield/setup"
)

// defaultCrowdSec is CrowdSec's configuration, unless --crowdsec names another.
const defaultCrowdSec = "/etc/crowdsec/config.yaml"

// selection has the options of each command about one configuration.
type selection struct {
	file string
	name string // "": the file has only one
	json bool
}

func (s *selection) bind(flags *pflag.FlagSet) {
	flags.StringVarP(&s.file, "config", "c", setup.DefaultFile, "the notification's YAML `file`")
	flags.StringVarP(&s.name, "name", "n", "", "the notification's `name`, if the file holds several")
	bindJSON(flags, &s.json)
}

// load reads the selected configuration.
func (s *selection) load(read func(path string) ([]config.Document, error)) (config.Document, error) {
	documents, err := read(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return config.Document{}, fmt.Errorf("%w (hint: name the file with -c FILE, or make one with `setup`)", err)
	}
	if err != nil {
		return config.Document{}, err
	}
	return config.Select(documents, s.name)
}

// opener is [plugin.State.Open], or [plugin.State.OpenReadOnly] for a command that only reads.
type opener func(plugin.State, context.Context) (*ledger.Ledger, error)

// open reads the selected configuration, and opens the state that the plugin has made for it.
func (s *selection) open(ctx context.Context, open opener) (config.Document, *ledger.Ledger, error) {
	d, err := s.load(config.Load)
	if err != nil {
		return config.Document{}, nil, err
	}
	state, err := openExisting(ctx, d, open)
	return d, state, err
}

// openExisting opens the state that the plugin has made for a configuration.
func openExisting(ctx context.Context, d config.Document, open opener) (*ledger.Ledger, error) {
	state, err := openState(ctx, d, open)
	if err == nil && state == nil {
		err = errNoState(d)
	}
	return state, err
}

// errNoState returns the error of a command that needs the state of a configuration, and finds none.
func errNoState(d config.Document) error {
	return errors.New("there is no state yet: CrowdSec has not started the plugin with this configuration (hint: name " +
		d.Name + " under notifications: in profiles.yaml and restart CrowdSec)")
}

// openState opens the state of a configuration. It returns nil if there is none yet.
func openState(ctx context.Context, d config.Document, open opener) (*ledger.Ledger, error) {
	if found, err := hasState(d); err != nil || !found {
		return nil, err
	}
	if d.SharesState() { // the password of the database is a secret
		if err := readSecrets(&d); err != nil {
			return nil, err
		}
	}
	state, err := open(plugin.StateOf(d), ctx)
	return state, explainNoDatabase(d, err)
}

// explainNoDatabase adds to an error that the command needs the database of a shared state, if the database cannot be used.
func explainNoDatabase(d config.Document, err error) error {
	if d.SharesState() && errors.Is(err, ledger.ErrUnavailable) {
		return fmt.Errorf("this command needs the database that the machines share: %w", err)
	}
	return err
}

// hasState reports whether the plugin has made the state of a configuration on this machine.
func hasState(d config.Document) (bool, error) {
	if err := becomeOwner(d); err != nil {
		return false, err
	}
	switch _, err := os.Stat(plugin.StateOf(d).Path); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for the state: %w", err)
	}
	return true, nil
}
