package crowdsec_test

import (
	"strings"
	"testing"

	"notification-stormshield/crowdsec"
)

func TestExpandReplacesAsCrowdSecDoes(t *testing.T) {
	environment := map[string]string{"A": "1", "A_b2": "2", "EMPTY": "", "AGAIN": "x$A", "FIRST": "$A", "BRACE": "x${A}y", "A B": "3"}
	lookup := func(name string) (string, bool) { value, ok := environment[name]; return value, ok }
	for text, want := range map[string]string{
		"": "", "$": "$", "a$": "a$", "$$": "$$", "$A": "1", "${A}": "1", "$A_b2-$A": "2-1", "x${A}y": "x1y", "$UNSET ${UNSET}": "$UNSET ${UNSET}",
		"$EMPTY.": ".", "${A": "${A", "${}": "${}", "$-A": "$-A", "$é": "$é", "$$A": "$1", "${A B}": "3",
		"$AGAIN": "x1", "$FIRST": "$A", "$BRACE": "x1y",
	} {
		if got := crowdsec.Expand(text, lookup); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestExpandEndsForAVariableThatContainsItself(t *testing.T) {
	got := crowdsec.Expand("$A", func(string) (string, bool) { return "x$A", true })
	if !strings.HasPrefix(got, "xxx") {
		t.Errorf("$A became %.20q, want many x", got)
	}
}
