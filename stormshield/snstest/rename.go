package snstest

import (
	"fmt"
	"strings"
)

// RenameObject renames an object as an administrator does in the web administration: in object, and wherever a group
// lists it.
func (a *Appliance) RenameObject(from, to string) error {
	if illegal(from) != "" || illegal(to) != "" {
		return fmt.Errorf("%q or %q is no name of an object", from, to)
	}
	err := a.AdminEdit(ObjectFile, func(text []byte) []byte { return []byte(renamed(string(text), from, to, "=")) })
	if err != nil {
		return err
	}
	return a.AdminEdit(GroupFile, func(text []byte) []byte { return []byte(renamed(string(text), from, to, "")) })
}

// renamed gives the lines that begin with a name, and go on with an end of the line or what is given, another name.
func renamed(text, from, to, goesOn string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		rest, has := strings.CutPrefix(line, from)
		if has && (strings.TrimSpace(rest) == "" || goesOn != "" && strings.HasPrefix(rest, goesOn)) {
			line = to + rest
		}
		b.WriteString(line)
	}
	return b.String()
}
