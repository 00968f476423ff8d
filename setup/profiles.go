package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"notification-stormshield/crowdsec"
)

// nameInProfiles names the notification in the profiles that ban. CrowdSec reads the profiles of profiles.yaml.local
// before those of profiles.yaml.
func (s *setup) nameInProfiles(ctx context.Context) error {
	banning := 0
	var failed []error
	for _, path := range []string{s.crowdsec.ProfilesPath + ".local", s.crowdsec.ProfilesPath} {
		text, err := os.ReadFile(path)
		if path != s.crowdsec.ProfilesPath && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var edit crowdsec.ProfilesEdit
		if err == nil {
			edit, err = crowdsec.AddNotification(text, s.Name)
		}
		if err != nil {
			s.printManualEdit(path)
			failed = append(failed, fmt.Errorf("change %s by hand: %w", path, err))
			banning++ // it may have profiles that ban
			continue
		}
		banning += len(edit.Added) + len(edit.Present)
		switch {
		case len(edit.Added) > 0:
			if err := s.editProfiles(ctx, path, text, edit); errors.Is(err, errInputEnded) || errors.Is(err, errInterrupted) {
				return err
			} else if err != nil {
				failed = append(failed, err)
			}
		case len(edit.Present) > 0:
			fmt.Fprintf(s.Out, "\n%s names %s already.\n", path, s.Name)
		}
	}
	if banning == 0 {
		s.warn("no profile of %s decides to ban, so nothing will be blocked (hint: name %s under notifications: of a profile with decisions of type ban)",
			s.crowdsec.ProfilesPath, s.Name)
	}
	if s.crowdsec.MisnamedFile() != "" {
		s.warn("with CrowdSec 1.4, as Debian 12 has it, the usual profiles do not match `cscli decisions add`; "+
			"a profile with the filter len(Alert.Decisions) > 0 that names %s does", s.Name)
	}
	return errors.Join(failed...)
}

// editProfiles shows an edit, and makes it if the user agrees.
func (s *setup) editProfiles(ctx context.Context, path string, text []byte, edit crowdsec.ProfilesEdit) error {
	_, lines, _ := strings.Cut(string(diff.Diff(path, text, path+" (new)", edit.Text)), "\n") // the first line repeats the names
	fmt.Fprintf(s.Out, "\nIn the profiles %s:\n\n%s\n", strings.Join(edit.Added, ", "), lines)
	if s.DryRun {
		return nil
	}
	if s.Yes && s.faulty {
		s.printManualEdit(path)
		return fmt.Errorf("%s is unchanged, because CrowdSec would not start with the change "+
			"(hint: correct the cause first; the warnings above name it)", path)
	}
	if s.faulty {
		s.warn("CrowdSec will not start with this change until the causes in the warnings above are corrected")
	}
	agreed := s.Yes
	if !agreed {
		var err error
		agreed, err = s.dialogue.confirm(ctx, "Change "+path+" like this?")
		if err != nil {
			return fmt.Errorf("%w before an answer; %s is unchanged, and %s is written (hint: a script gives --yes)", err, path, s.File)
		}
	}
	if !agreed {
		s.printManualEdit(path)
		return nil
	}
	copied, err := replaceFile(path, text, edit.Text)
	if err != nil {
		s.printManualEdit(path)
		return fmt.Errorf("change %s by hand: %w", path, err)
	}
	fmt.Fprintf(s.Out, "Written: %s\nKept:    %s, a copy of the old text\n", path, copied)
	s.done = append(s.done, change{command: "cp -p " + shellWord(copied) + " " + shellWord(path)})
	return nil
}

// printManualEdit prints how to change profiles by hand.
func (s *setup) printManualEdit(path string) {
	fmt.Fprintf(s.Out, "\n%s is unchanged. In each of its profiles whose bans the appliance must enforce, add:\n\n"+
		"notifications:\n  - %s\n", path, s.Name)
}
