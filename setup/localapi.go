package setup

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"notification-stormshield/config"
)

// cscli is CrowdSec's command line, found in PATH.
const cscli = "cscli"

// makeLocalAPIKey makes a key for the Local API with cscli, if the user agrees and the Local API accepts the key.
// Without cscli or the Local API, the set-up continues without a key.
func (s *setup) makeLocalAPIKey(ctx context.Context) error {
	if s.NoLAPI || s.crowdsec.LocalAPIURL == "" || !isInPath(cscli) {
		return nil
	}
	agreed := s.Yes
	if !agreed {
		var err error
		agreed, err = s.dialogue.confirm(ctx, "Enforce CrowdSec's lists and unbans too, with a key that `cscli bouncers add "+s.Name+"` makes?")
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
	s.document.LAPI.URL, s.document.LAPI.Key = s.crowdsec.LocalAPIURL, config.Secret(key)
	s.done = append(s.done, change{"cscli bouncers delete " + shellWord(s.Name), s.deleteBouncer})
	if err := s.PingLocalAPI(ctx, s.document); err != nil {
		s.warn("%v (hint: is CrowdSec running?); so lists and unbans are left out for now", err)
		if err := s.undoAll(ctx); err != nil {
			s.warn("%v", err)
		}
	}
	return nil
}

func isInPath(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// addBouncer returns the key of a new bouncer.
func (s *setup) addBouncer(ctx context.Context) (string, error) {
	add := exec.CommandContext(ctx, cscli, "-c", s.crowdsec.File, "bouncers", "add", "-o", "raw", "--", s.Name) //nolint:gosec // the administrator's own
	out, err := add.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("cscli bouncers add %s: %s", s.Name, strings.TrimSpace(string(failed.Stderr)))
	}
	key := strings.TrimSpace(string(out))
	if err == nil && (key == "" || strings.ContainsAny(key, " \n")) {
		err = errors.New("it printed no key")
	}
	if err != nil {
		return "", fmt.Errorf("cscli bouncers add %s: %w", s.Name, err)
	}
	return key, nil
}

func (s *setup) deleteBouncer(ctx context.Context) error {
	s.document.LAPI.URL, s.document.LAPI.Key = "", ""
	out, err := exec.CommandContext(ctx, cscli, "-c", s.crowdsec.File, "bouncers", "delete", "--", s.Name).CombinedOutput() //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("cscli bouncers delete %s: %w: %s", s.Name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
