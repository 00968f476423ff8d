package ban

import (
	"strconv"
	"strings"
	"unicode"
)

const (
	// keptSkips is how many of a kind are kept one by one; a message can hold a
	// million.
	keptSkips = 20
	// longestValue and longestLabel limit, in bytes, what is kept of a
	// decision's text.
	longestValue = 64
	longestLabel = 200
)

// Skip is one decision, or one alert, that did not become a ban.
type Skip struct {
	Value  string // what it was about, shortened and quoted where needed: safe to log
	Reason string // why, in words
}

// Skips counts every skip and keeps the first few.
type Skips struct {
	First []Skip // at most 20
	Total int
}

func (s *Skips) add(value, reason string) {
	s.Total++
	if len(s.First) < keptSkips {
		s.First = append(s.First, Skip{Value: shorten(value), Reason: reason})
	}
}

// shorten makes foreign text safe to log: cut to about 64 characters, and in
// Go's quoted form when it is cut or holds anything but plain printable ASCII.
func shorten(text string) string {
	if len(text) > longestValue {
		return quoteWithin(text, longestValue-len(`""…`)) + "…"
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return quoteWithin(text, longestValue)
	}
	return text
}

// quoteWithin quotes as much of the text as fits the given number of bytes once
// escaped.
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

// label makes an origin or a scenario fit to be kept and shown: cut, and
// printable.
func label(text string) string {
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
