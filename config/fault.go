package config

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong in a configuration.
type Fault struct {
	// Line counts from 1 in the text that was read; 0 if there is none.
	Line int
	// Document is the document's name, or its number if it has no usable name.
	Document string
	// Key is the path of the key, such as stormshield.ssh_port; "" if the fault is
	// not about one key.
	Key string
	// Problem says what is wrong, without any secret.
	Problem string
	// Hint says what to write instead; it may be "".
	Hint string

	// involved are further keys that the fault is about. The fault is left out if
	// one of them has a fault of its own.
	involved []string
	// isIdentity says that the document has nothing to identify the appliance by.
	isIdentity bool
}

// String returns the fault in one line.
func (f Fault) String() string {
	var parts []string
	if f.Line > 0 {
		parts = append(parts, fmt.Sprintf("line %d", f.Line))
	}
	for _, part := range []string{f.Document, f.Key, f.Problem} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	line := strings.Join(parts, ": ")
	if f.Hint != "" {
		line += "; " + f.Hint
	}
	return line
}

// Error is everything that is wrong in a configuration.
type Error struct {
	File   string // where it was read from, or ""
	Faults []Fault
}

// Error returns a line for each fault.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, fault := range e.Faults {
		lines[i] = fault.String()
		if e.File != "" {
			lines[i] = e.File + ": " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// errorOf returns an Error in the order of the lines, or nil if there is no fault.
func errorOf(faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return a.Line - b.Line })
	return &Error{Faults: faults}
}

// shown returns foreign text in quotes, cut to a length that fits a line.
func shown(text string) string {
	const most = 64
	if len(text) > most {
		return fmt.Sprintf("%+q…", strings.ToValidUTF8(text[:most], ""))
	}
	return fmt.Sprintf("%+q", text)
}
