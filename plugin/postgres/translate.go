package postgres

import (
	"fmt"
	"strconv"
	"strings"
)

// translate returns a statement in PostgreSQL's form, and how many parameters it has. It changes nothing in strings, quoted names and
// comments. isScript reports whether the text has several statements.
func translate(text string) (translated string, parameters int, isScript bool, err error) {
	var out strings.Builder
	out.Grow(len(text) + 16)
	next, ended := 0, false
	for i := 0; i < len(text); {
		if n := quotedLength(text[i:]); n > 0 {
			out.WriteString(text[i : i+n])
			i += n
			continue
		}
		switch c := text[i]; {
		case c == '?':
			end := i + 1
			for end < len(text) && text[end] >= '0' && text[end] <= '9' {
				end++
			}
			number := next + 1
			if end > i+1 {
				if number, err = strconv.Atoi(text[i+1 : end]); err != nil || number < 1 || number > 65535 {
					return "", 0, false, fmt.Errorf("the parameter %s is not between ?1 and ?65535", text[i:end])
				}
			}
			// SQLite gives a bare ? the number after the largest one so far.
			next = max(next, number)
			out.WriteByte('$')
			out.WriteString(strconv.Itoa(number))
			i = end
			ended = false
		case isWord(c):
			end := i + 1
			for end < len(text) && isWord(text[end]) {
				end++
			}
			isScript = isScript || ended
			out.WriteString(translateWord(text[i:end], text[end:]))
			i = end
		case c == ';':
			ended = true
			out.WriteByte(c)
			i++
		default:
			out.WriteByte(c)
			i++
		}
	}
	return out.String(), next, isScript, nil
}

// isWord reports whether a byte is part of a name, a number or a keyword.
func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
}

// quotedLength returns the length of the string, quoted name or comment at the beginning of a text; 0: there is none.
func quotedLength(text string) int {
	// A doubled quote counts as the end of one string and the beginning of the next one. Both are copied as they are.
	until := func(begin, end string) int {
		at := strings.Index(text[len(begin):], end)
		if at < 0 {
			return len(text)
		}
		return len(begin) + at + len(end)
	}
	switch {
	case text[0] == '\'':
		return until("'", "'")
	case text[0] == '"':
		return until(`"`, `"`)
	case strings.HasPrefix(text, "--"):
		return until("--", "\n")
	case strings.HasPrefix(text, "/*"):
		return until("/*", "*/")
	case text[0] == '$': // $$ or $name$ of a function's body
		end := 1
		for end < len(text) && isWord(text[end]) {
			end++
		}
		if end < len(text) && text[end] == '$' {
			return until(text[:end+1], text[:end+1])
		}
	}
	return 0
}

// translateWord returns PostgreSQL's name for a word of SQLite. rest is the text after the word.
func translateWord(word, rest string) string {
	other := ""
	switch {
	case strings.EqualFold(word, "min"):
		other = "LEAST"
	case strings.EqualFold(word, "max"):
		other = "GREATEST"
	default:
		return word
	}
	rest = strings.TrimLeft(rest, " \t\n")
	if strings.HasPrefix(rest, "(") && hasSeveralArguments(rest[1:]) {
		return other
	}
	return word
}

// hasSeveralArguments reports whether a comma stands between the arguments of a function. The text begins after the parenthesis.
func hasSeveralArguments(text string) bool {
	depth := 0
	for i := 0; i < len(text); {
		if n := quotedLength(text[i:]); n > 0 {
			i += n
			continue
		}
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth == 0 {
				return false
			}
			depth--
		case ',':
			if depth == 0 {
				return true
			}
		}
		i++
	}
	return false
}
