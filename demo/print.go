package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// shown is how many lines of one kind are shown before the rest is left out.
const shown = 4

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func title(number int, text string) {
	say("\n%d. %s\n%s", number, text, strings.Repeat("=", len(text)+3))
}

// listing shows what went wrong, a line each; nothing shows nothing.
func listing(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "\n           " + strings.Join(lines, "\n           ")
}

// printBlacklist shows what the appliance blocks now.
func (s *stage) printBlacklist() {
	entries := s.appliance.Blacklist()
	if len(entries) == 0 {
		say("\n  The appliance blocks nothing.")
		return
	}
	say("\n  The appliance blocks (%d):", len(entries))
	var lines []string
	for _, e := range entries {
		source := e.Source.String()
		if e.Source.IsSingleIP() {
			source = e.Source.Addr().String()
		}
		lines = append(lines, fmt.Sprintf("    %-20s ends by itself in %s", source, short(time.Until(e.Expires))))
	}
	for _, line := range shorten(lines, "    ") {
		say("%s", line)
	}
}

// printCommands shows what the plugin had the appliance do since so many
// commands.
func (s *stage) printCommands(since int) {
	say("\n  What the plugin told the appliance's API:")
	var lines []string
	for _, command := range s.commands()[since:] {
		lines = append(lines, "    "+command)
	}
	for _, line := range shorten(lines, "    ") {
		say("%s", line)
	}
}

// commands are those about the blacklist that the appliance was sent so far.
func (s *stage) commands() []string {
	var found []string
	for _, command := range s.appliance.Stats().APICommands {
		if strings.HasPrefix(command, "MONITOR ADDRESSLIST ") {
			found = append(found, command)
		}
	}
	return found
}

// short is a duration to the second, without parts that are 0.
func short(d time.Duration) string {
	text := strings.TrimSuffix(d.Round(time.Second).String(), "m0s")
	if text == d.Round(time.Second).String() {
		return text
	}
	if hours, ok := strings.CutSuffix(text, "h0"); ok {
		return hours + "h"
	}
	return text + "m"
}

// shorten leaves out the middle of many lines.
func shorten(lines []string, indent string) []string {
	if len(lines) <= shown+2 {
		return lines
	}
	cut := fmt.Sprintf("%s… %d more …", indent, len(lines)-shown)
	return append(append(lines[:shown-1:shown-1], cut), lines[len(lines)-1])
}

// ourMark stands before the plugin's lines.
const ourMark = "    > "

var (
	ourObject = regexp.MustCompile(`^crowdsec_(ip_[0-9]+|net_[0-9]+_[0-9]+)(=.*)?$`)
	ourGroup  = regexp.MustCompile(`^\[Crowdsec(DeleteGroup)?\]$`)
)

// printFiles shows the sections of the appliance's files that hold lines of the
// plugin, or all that it ever writes to. The plugin's lines are marked.
func (s *stage) printFiles(all bool) {
	now := s.files()
	for _, file := range []string{snstest.ObjectFile, snstest.GroupFile} {
		say("\n  Its file %s:", file)
		any := false
		for _, section := range sections(file, now[file]) {
			if all || section.ours {
				any = true
				section.print()
			}
		}
		if !any {
			say("      (nothing of the plugin's)")
		}
	}
}

// section is a section of a file, as it is shown.
type section struct {
	ours  bool // it holds lines of the plugin
	lines []string
}

// sections are those that the plugin may write to, without comments.
func sections(file string, text []byte) []section {
	var found []section
	relevant := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "[") {
			relevant = file == snstest.GroupFile || line == "[Host]" || line == "[Network]"
			if relevant {
				found = append(found, section{})
			}
		}
		if !relevant || line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		last := &found[len(found)-1]
		if ourObject.MatchString(line) || ourGroup.MatchString(line) {
			last.ours = true
			line = ourMark + line
		} else {
			line = "      " + line
		}
		last.lines = append(last.lines, line)
	}
	return found
}

// print shows runs of many lines of the plugin without their middle.
func (s section) print() {
	for rest := s.lines; len(rest) > 0; {
		n := 1
		for strings.HasPrefix(rest[0], ourMark) && n < len(rest) && strings.HasPrefix(rest[n], ourMark) {
			n++
		}
		for _, line := range shorten(rest[:n], ourMark) {
			say("%s", line)
		}
		rest = rest[n:]
	}
}

// withoutObjects is the text of the file object without our lines.
func withoutObjects(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		if !ourObject.Match(bytes.TrimRight(line, "\n")) {
			out = append(out, line...)
		}
	}
	return out
}

// withoutGroups is the text of the file objectgroup without our two groups.
func withoutGroups(text []byte) []byte {
	var out []byte
	ours := false
	for line := range bytes.Lines(text) {
		if line[0] == '[' {
			ours = ourGroup.Match(bytes.TrimRight(line, "\n"))
		}
		if !ours {
			out = append(out, line...)
		}
	}
	return out
}

// ourLines counts our lines in a file of the appliance, headers of groups
// aside.
func ourLines(text []byte) int {
	n := 0
	for line := range bytes.Lines(text) {
		if ourObject.Match(bytes.TrimRight(line, "\n")) {
			n++
		}
	}
	return n
}
