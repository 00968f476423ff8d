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
		err = errors.New("there is no state yet: CrowdSec has not started the plugin with this configuration (hint: name " +
			d.Name + " under notifications: in profiles.yaml and restart CrowdSec)")
	}
	return state, err
}

// openState opens the state of a configuration. It returns nil if there is none yet.
func openState(ctx context.Context, d config.Document, open opener) (*ledger.Ledger, error) {
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
