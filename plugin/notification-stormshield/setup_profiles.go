package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"notification-stormshield/crowdsec"
)

// profiles names the notification in the profiles that ban. CrowdSec reads those
// of profiles.yaml.local first, then those of profiles.yaml.
func (s *setup) profiles(ctx context.Context) error {
	banning := 0
	var left []error // what was to be changed and could not be
	for _, path := range []string{s.place.ProfilesPath + ".local", s.place.ProfilesPath} {
		text, err := os.ReadFile(path)
		if path != s.place.ProfilesPath && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var change crowdsec.ProfilesEdit
		if err == nil {
			change, err = crowdsec.AddNotification(text, s.name)
		}
		if err != nil {
			s.byHand(path)
			left = append(left, fmt.Errorf("%s is left to you: %w", path, err))
			banning++ // as far as is known
			continue
		}
		banning += len(change.Added) + len(change.Present)
		switch {
		case len(change.Added) > 0:
			if err := s.change(ctx, path, text, change); errors.Is(err, errInputEnded) || errors.Is(err, errInterrupted) {
				return err
			} else if err != nil {
				left = append(left, err)
			}
		case len(change.Present) > 0:
			fmt.Fprintf(s.out, "\n%s names %s already.\n", path, s.name)
		}
	}
	if banning == 0 {
		s.warn("no profile of %s decides to ban, so nothing will be blocked (hint: name %s under notifications: of a profile with decisions of type ban)",
			s.place.ProfilesPath, s.name)
	}
	if s.place.HasMisnamedFiles() {
		s.warn("with CrowdSec 1.4, as Debian 12 has it, the usual profiles do not match `cscli decisions add`; "+
			"a profile with the filter len(Alert.Decisions) > 0 that names %s does", s.name)
	}
	return errors.Join(left...)
}

// change shows what is to change, asks, and does it.
func (s *setup) change(ctx context.Context, path string, text []byte, change crowdsec.ProfilesEdit) error {
	_, lines, _ := strings.Cut(string(diff.Diff(path, text, path+" (new)", change.Text)), "\n") // the first line repeats the names
	fmt.Fprintf(s.out, "\nIn the profiles %s:\n\n%s\n", strings.Join(change.Added, ", "), lines)
	if s.dryRun {
		return nil
	}
	agreed := s.yes && !s.blocked
	if s.yes && s.blocked {
		s.byHand(path)
		return fmt.Errorf("%s is left as it was, for CrowdSec would not start with it (hint: the warnings above say why; put that right first)", path)
	}
	if s.blocked {
		s.warn("CrowdSec will not start with this change before what the warnings above say is put right")
	}
	var err error
	if !agreed {
		agreed, err = s.dialogue.confirm(ctx, "Change "+path+" like this?")
	}
	if err != nil {
		return fmt.Errorf("%w before an answer; %s is as it was, and %s is in its place (hint: a script gives --yes)", err, path, s.file)
	}
	if !agreed {
		s.byHand(path)
		return nil
	}
	copied, err := replaceFile(path, text, change.Text)
	if err != nil {
		s.byHand(path)
		return fmt.Errorf("%s is left to you: %w", path, err)
	}
	fmt.Fprintf(s.out, "Written: %s\nKept:    %s, as it was\n", path, copied)
	s.undo = append(s.undo, "cp -p "+inShell(copied)+" "+inShell(path))
	return nil
}

// byHand says what to do with profiles that stay as they are.
func (s *setup) byHand(path string) {
	fmt.Fprintf(s.out, "\n%s is as it was. In each of its profiles whose bans the appliance shall enforce, add:\n\nnotifications:\n  - %s\n", path, s.name)
}

// goodbye says what there is to do, and how to undo what was done.
func (s *setup) goodbye() {
	fmt.Fprintf(s.out, "\nNow run:\n\n  systemctl reload crowdsec\n  cscli notifications test %s    # blocks nothing\n  crowdsec-stormshield status%s\n",
		s.name, s.selecting())
	if !s.document.LAPI.Followed() {
		s.tellOfLAPI()
	}
	fmt.Fprint(s.out, "\nTo undo it (once something has been blocked, see `crowdsec-stormshield cleanup --help` first):\n\n")
	for i := len(s.undo) - 1; i >= 0; i-- {
		fmt.Fprintf(s.out, "  %s\n", s.undo[i])
	}
	fmt.Fprint(s.out, "  systemctl reload crowdsec\n")
}

// tellOfLAPI says how to follow the Local API later.
func (s *setup) tellOfLAPI() {
	fmt.Fprintf(s.out, "\nTo enforce the community blocklist, other lists and unbans too:\n\n  cscli bouncers add %s    # prints a key, for lapi in %s\n", s.name, s.file)
}

// selecting is what other commands need to find the file.
func (s *setup) selecting() string {
	if s.file == usualFile {
		return ""
	}
	return " -c " + inShell(s.file)
}

var plainInShell = regexp.MustCompile(`^[A-Za-z0-9._/@%+:-]+$`)

// inShell is a path as a shell takes it.
func inShell(path string) string {
	if plainInShell.MatchString(path) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
