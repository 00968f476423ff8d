package config

import (
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestTheSampleShowsEachKeyWithItsDefault compares the sample with the tags of Document.
func TestTheSampleShowsEachKeyWithItsDefault(t *testing.T) {
	shown := make(map[string][]string)  // the lines of a path
	sections := make(map[string]string) // the paths, by the margin of their keys
	for line := range strings.Lines(sample) {
		found := sampleLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if found == nil {
			continue
		}
		margin, comment, name, text := found[1], found[2], found[3], found[4]
		k, known := findKey(sections[margin], name)
		if !known {
			t.Errorf("the sample has %s, which is not a key", joined(sections[margin], name))
			continue
		}
		shown[k.path()] = append(shown[k.path()], line)
		if k.isSection {
			sections[margin+"  "] = k.path()
		} else if comment != "" && text != k.usual && !isZero(k, text) {
			t.Errorf("the sample shows %s: %s, and the default is %q", k.path(), text, k.usual)
		}
	}
	for _, k := range keys {
		if lines := shown[k.path()]; len(lines) != 1 {
			t.Errorf("%s is %d times in the sample: %q", k.path(), len(lines), lines)
		}
		if k.withoutSSH != nil && !strings.Contains(sample, "Without SSH (see ssh_password) the default is "+k.withoutSSH.Value+".\n  # "+k.name+": ") {
			t.Errorf("the sample does not say that %s is %s without SSH", k.path(), k.withoutSSH.Value)
		}
	}
}

// isZero reports whether a text is the zero value of a key that has no default.
func isZero(k key, text string) bool {
	var d Document
	var node yaml.Node
	if k.usual != "" || yaml.Unmarshal([]byte(text), &node) != nil || k.set(&d, value{rootOf(&node), source{}}) != nil {
		return false
	}
	field := k.in(&d)
	return field.IsZero() || field.Kind() == reflect.Slice && field.Len() == 0
}
