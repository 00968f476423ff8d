package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manEntries reads the manual page, and returns the text of each entry under
// COMMANDS by the words of its command, such as "bans remove".
func manEntries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "packaging", "crowdsec-stormshield.8"))
	if err != nil {
		t.Fatal(err)
	}
	_, commands, found := strings.Cut(string(text), "\n.Sh COMMANDS\n")
	if !found {
		t.Fatal("the manual page has no section COMMANDS")
	}
	commands, _, _ = strings.Cut(commands, "\n.Sh ")
	entries := map[string]string{}
	words := regexp.MustCompile(`^[a-z]+( [a-z]+)*`)
	for _, entry := range strings.Split(commands, "\n.It Ic ")[1:] {
		entries[words.FindString(entry)] = entry
	}
	return entries
}

func TestTheManualPageNamesEveryCommandAndEveryFlag(t *testing.T) {
	entries := manEntries(t)
	root := rootCommand()
	root.InitDefaultCompletionCmd() // as Execute does
	var visit func(cmd *cobra.Command, entry string)
	visit = func(cmd *cobra.Command, entry string) {
		cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			if f.Shorthand != "" && (f.Name == "config" || f.Name == "name") { // in the section OPTIONS
				if !strings.Contains(entry, "Fl "+f.Shorthand+" ") {
					t.Errorf("the entry of %q does not name -%s", cmd.CommandPath(), f.Shorthand)
				}
				return
			}
			if !regexp.MustCompile(`Fl -` + f.Name + `\b`).MatchString(entry) {
				t.Errorf("the entry of %q does not name --%s", cmd.CommandPath(), f.Name)
			}
			if f.Shorthand != "" && !strings.Contains(entry, "Fl "+f.Shorthand) {
				t.Errorf("the entry of %q does not name -%s", cmd.CommandPath(), f.Shorthand)
			}
		})
		for _, sub := range cmd.Commands() {
			if sub.Hidden {
				continue
			}
			if cmd.Name() == "completion" { // one entry for all shells
				if !regexp.MustCompile(`\b` + sub.Name() + `\b`).MatchString(entry) {
					t.Errorf("the entry of %q does not name %s", cmd.CommandPath(), sub.Name())
				}
				visit(sub, entry)
				continue
			}
			words := strings.TrimPrefix(sub.CommandPath(), root.Name()+" ")
			text, found := entries[words]
			if !found {
				t.Errorf("the manual page has no entry for %q", words)
				continue
			}
			visit(sub, text)
		}
	}
	visit(root, "")
	if len(entries) < len(root.Commands()) {
		t.Errorf("%d entries for %d commands", len(entries), len(root.Commands()))
	}
}
