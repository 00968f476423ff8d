package ban

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
)

const (
	// keptSkips bounds the list of skips. A notification can have a million.
	keptSkips = 20
	// longestValue and longestLabel bound the texts of a decision, in bytes.
	longestValue = 64
	longestLabel = 200
)

// Skip is one decision, or one alert, that blocks nothing.
type Skip struct {
	Value  string // of the decision, shortened and quoted: safe to log
	Reason string // for a reader of the log
	Kind   Kind   // of the refusal; "": the decision was ignored
}

func ignoredSkip(value, reason string) Skip { return Skip{Value: shorten(value), Reason: reason} }

func refusedSkip(value string, err error) Skip {
	kind := Malformed
	if r := new(refusal); errors.As(err, &r) {
		kind = r.kind
	}
	return Skip{shorten(value), err.Error(), kind}
}

// Skips counts all skips, and keeps the first ones.
type Skips struct {
	First  []Skip // at most 20
	Total  int
	ByKind map[Kind]int // the refused ones; nil: there are none
}

// Add adds one skip.
func (s *Skips) Add(k Skip) {
	s.Total++
	if len(s.First) < keptSkips {
		s.First = append(s.First, k)
	}
	if k.Kind == "" {
		return
	}
	if s.ByKind == nil {
		s.ByKind = map[Kind]int{}
	}
	s.ByKind[k.Kind]++
}

// shorten makes foreign text safe to log. It cuts the text to about 64 characters. It quotes a cut text, and one with other
// characters than printable ASCII.
func shorten(text string) string {
	if len(text) > longestValue {
		return quoteWithin(text, longestValue-len(`""…`)) + "…"
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return quoteWithin(text, longestValue)
	}
	return text
}

// quoteWithin quotes the beginning of a text that fits into a number of bytes.
func quoteWithin(text string, limit int) string {
	quoted := `"`
	for _, r := range text {
		escaped := strconv.QuoteRuneToASCII(r)
		escaped = escaped[1 : len(escaped)-1]
		switch escaped {
		case `"`:
			escaped = `\"`
		case `\'`:
			escaped = `'`
		}
		if len(quoted)+len(escaped) >= limit {
			break
		}
		quoted += escaped
	}
	return quoted + `"`
}

// cleanLabel cuts an origin or a scenario, and replaces characters that cannot be printed.
func cleanLabel(text string) string {
	if len(text) > longestLabel {
		text = strings.ToValidUTF8(text[:longestLabel], "")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}
