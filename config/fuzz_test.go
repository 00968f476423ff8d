package config_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"notification-stormshield/config"
)

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		minimal, everyKey, identified(), "", "---\n", "a: *b", "a: &a [*a]", "<<: *x", "type: stormshield\nname: [x]\n", "stormshield: 5",
		minimal + "  rule:\n    action: log\n", minimal + "  rule: {rule: {rule: x}}\n", "stormshield: &s\n  rule: *s\n",
		"? [a]\n: b", "stormshield: &s\n  host: x\ndecisions: *s\n", "type: !!int x\n", "type: !!binary aa==\n", "{type: stormshield, type: x}",
		"no mapping", minimal + "  ssh_usename: x\n", "key: value # a comment\n  indented\n", strings.Replace(minimal, "name: edge", "name: yes\na_key_like_no_other: x", 1),
		strings.Replace(minimal, hexDigits, strings.Repeat("0", 65), 1),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		docs, err := config.Parse([]byte(text))
		var faulty *config.Error
		switch {
		case err == nil && len(docs) == 0:
			t.Error("neither a document nor an error")
		case err != nil && (!errors.As(err, &faulty) || len(faulty.Faults) == 0 || len(docs) > 0):
			t.Errorf("error %v with %d documents", err, len(docs))
		case err != nil:
			checkFaults(t, faulty)
		}
		for _, doc := range docs {
			if err := doc.Validate(); err != nil {
				t.Errorf("a document that is not valid: %v", err)
			}
			if len(doc.Filter().NeverBlock) < len(doc.Decisions.NeverBlock) {
				t.Error("the filter lost entries of never_block")
			}
		}
	})
}

// checkFaults checks that each fault is one printable line.
func checkFaults(t *testing.T, faulty *config.Error) {
	t.Helper()
	for _, fault := range faulty.Faults {
		line := fault.String()
		if fault.Problem == "" || strings.ContainsAny(line, "\n\r\x1b\x00") || !utf8.ValidString(line) || len(line) > 1000 {
			t.Errorf("fault = %q", line)
		}
	}
}
