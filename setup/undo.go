package setup

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// change is something that the set-up has made.
type change struct {
	command string // undoes it by hand; "": nothing to do by hand
	undo    func(context.Context) error
}

// undoAll undoes all changes, the last one first, also when the user has interrupted the set-up.
func (s *setup) undoAll(ctx context.Context) error {
	var all []error
	for _, c := range slices.Backward(s.done) {
		all = append(all, c.undo(context.WithoutCancel(ctx)))
	}
	s.done = nil
	return errors.Join(all...)
}

// printNextSteps prints what the user must still do, and how to undo the set-up.
func (s *setup) printNextSteps() {
	fmt.Fprint(s.Out, "\nNow run:\n\n")
	if s.ruleStep != "" {
		fmt.Fprintf(s.Out, "  %s\n", s.ruleStep)
	}
	fmt.Fprintf(s.Out, "  systemctl reload crowdsec\n  cscli notifications test %s    # blocks nothing\n  crowdsec-stormshield status%s\n",
		s.Name, s.selection())
	if !s.document.LAPI.IsUsed() {
		fmt.Fprintf(s.Out, "\nTo enforce the community blocklist, other lists and unbans too:\n\n"+
			"  cscli bouncers add %s    # prints a key, for lapi in %s\n", s.Name, s.File)
	}
	fmt.Fprint(s.Out, "\nTo undo it (once something has been blocked, see `crowdsec-stormshield cleanup --help` first):\n\n")
	for _, c := range slices.Backward(s.done) {
		if c.command != "" {
			fmt.Fprintf(s.Out, "  %s\n", c.command)
		}
	}
	fmt.Fprint(s.Out, "  systemctl reload crowdsec\n")
}

// selection returns the options of a command that select the notification.
func (s *setup) selection() string {
	if s.File == DefaultFile {
		return ""
	}
	return " -c " + shellWord(s.File)
}

var plainShellWord = regexp.MustCompile(`^[A-Za-z0-9._/@%+:-]+$`)

// shellWord quotes a text for a shell.
func shellWord(text string) string {
	if plainShellWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
