package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// FillSample returns the sample with the values of a document. Comments and order stay. A line stays if the document has
// the default or the value of the sample, so a default stays a comment. A secret is a comment if it is empty or in a file.
//
// [Parse] returns the same document from this text, if the document is valid. There is one exception: a document that has
// the default where the sample has another value.
func FillSample(d Document) string {
	defaults, shown := Default(), sampleDocument()
	if !d.Stormshield.UsesSSH() {
		defaults.SetDefaultsWithoutSSH()
	}
	lines := strings.Split(sample, "\n")
	sections := make(map[string]string) // the paths, by the margin of their keys
	for i, line := range lines {
		found := sampleLine.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		margin, name := found[1], found[3]
		k, known := findKey(sections[margin], name)
		if !known {
			continue
		}
		value := k.in(&d).Interface()
		_, isSecret := value.(Secret)
		isComment := found[2] != ""
		switch {
		case k.isSection:
			sections[margin+"  "] = k.path()
		case k.isInFile(&d), value == Secret(""):
			lines[i] = margin + "# " + name + `: ""`
		case isSecret && !isComment,
			!reflect.DeepEqual(value, k.in(&defaults).Interface()) && (isComment || !reflect.DeepEqual(value, k.in(&shown).Interface())):
			lines[i] = margin + name + ": " + formatYAML(value)
		}
	}
	return strings.Join(lines, "\n")
}

// sampleLine is a line of the sample with a key, which may be a comment.
var sampleLine = regexp.MustCompile(`^( *)(# )?([a-z_0-9]+):(?: (.*))?$`)

// isInFile reports whether the key is a secret that the document keeps in a file.
func (k key) isInFile(d *Document) bool {
	for _, path := range keys {
		if path.fileOf == k.name && path.section == k.section {
			return path.in(d).String() != ""
		}
	}
	return false
}

// formatYAML returns a value as YAML that CrowdSec does not change.
func formatYAML(value any) string {
	switch v := value.(type) {
	case Secret:
		return quoted(v.Reveal())
	case string:
		return quoted(v)
	case []string:
		entries := make([]string, len(v))
		for i, text := range v {
			entries[i] = text
			if !plainWord.MatchString(text) || truths[text] != "" {
				entries[i] = quoted(text)
			}
		}
		return "[" + strings.Join(entries, ", ") + "]"
	case fmt.Stringer: // a duration, a fingerprint
		return quoted(v.String())
	}
	return fmt.Sprint(value)
}

var plainWord = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
