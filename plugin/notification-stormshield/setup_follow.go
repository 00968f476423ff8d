package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"notification-stormshield/config"
	"notification-stormshield/plugin"
)

// cscli is CrowdSec's command line, as it is found on PATH.
const cscli = "cscli"

// follow offers to make a bouncer's key, by which the plugin follows the Local
// API, and puts it into the document if the Local API takes it. Without cscli, or
// without a Local API that answers, setup goes on without.
func (s *setup) follow(ctx context.Context) error {
	if s.noLAPI || s.place.LocalAPIURL == "" || !onPath(cscli) {
		return nil
	}
	agreed := s.yes
	if !s.yes {
		var err error
		agreed, err = s.dialogue.confirm(ctx, fmt.Sprintf("Enforce CrowdSec's lists and unbans too, by a key that `cscli bouncers add %s` makes?", s.name))
		if err != nil {
			return fmt.Errorf("%w before an answer about CrowdSec's lists; nothing was written (hint: a script gives --yes, or --no-lapi)", err)
		}
	}
	if !agreed {
		return nil
	}
	key, err := s.addBouncer(ctx)
	if err != nil {
		s.warn("%v; so lists and unbans are left out for now", err)
		return nil
	}
	s.document.LAPI.URL, s.document.LAPI.Key = s.place.LocalAPIURL, config.Secret(key)
	if err := s.pingLAPI(ctx); err != nil {
		s.warn("%v (hint: is CrowdSec running?); so lists and unbans are left out for now", err)
		s.removeBouncer(ctx)
		return nil
	}
	s.undo = append(s.undo, "cscli bouncers delete "+inShell(s.name))
	return nil
}

func onPath(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// addBouncer returns the key of a new bouncer.
func (s *setup) addBouncer(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, cscli, "-c", s.place.File, "bouncers", "add", "-o", "raw", "--", s.name).Output() //nolint:gosec // the administrator's own, named by them
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("cscli bouncers add %s: %s", s.name, strings.TrimSpace(string(failed.Stderr)))
	}
	key := strings.TrimSpace(string(out))
	if err == nil && (key == "" || strings.ContainsAny(key, " \n")) {
		err = errors.New("it printed no key")
	}
	if err != nil {
		return "", fmt.Errorf("cscli bouncers add %s: %w", s.name, err)
	}
	return key, nil
}

func (s *setup) pingLAPI(ctx context.Context) error {
	client, err := plugin.LocalAPI(s.document, version)
	if err != nil {
		return err
	}
	return client.Ping(ctx)
}

// removeBouncer takes back what follow made.
func (s *setup) removeBouncer(ctx context.Context) {
	if !s.document.LAPI.Followed() {
		return
	}
	s.document.LAPI.URL, s.document.LAPI.Key = "", ""
	if out, err := exec.CommandContext(ctx, cscli, "-c", s.place.File, "bouncers", "delete", "--", s.name).CombinedOutput(); err != nil { //nolint:gosec // as above
		s.warn("cscli bouncers delete %s: %v: %s", s.name, err, strings.TrimSpace(string(out)))
	}
}
