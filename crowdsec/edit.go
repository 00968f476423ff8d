package crowdsec

import (
	"bytes"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// editor collects what is to be put into a text, a name for each profile. It goes
// by what lines look like, and may be wrong about odd YAML: that is what verify
// is for.
type editor struct {
	lines []line
	item  string // the notification's name, as YAML
	puts  []put
}

// line is one line of a text.
type line struct {
	start int    // its offset
	text  string // without its end
	end   string // "\n", "\r\n", or "" of the last one
}

// put is a text that goes in at an offset.
type put struct {
	at   int
	text string
}

func split(text []byte) []line {
	var lines []line
	at := 0
	for whole := range bytes.Lines(text) {
		bare := strings.TrimSuffix(strings.TrimSuffix(string(whole), "\n"), "\r")
		l := line{start: at, text: bare, end: string(whole[len(bare):])}
		if !strings.HasSuffix(l.end, "\n") { // a \r alone ends no line
			l.text, l.end = string(whole), ""
		}
		lines = append(lines, l)
		at += len(whole)
	}
	return lines
}

func (e *editor) apply(text []byte) []byte {
	slices.SortStableFunc(e.puts, func(a, b put) int { return a.at - b.at })
	var out bytes.Buffer
	at := 0
	for _, p := range e.puts {
		out.Write(text[at:p.at])
		out.WriteString(p.text)
		at = p.at
	}
	out.Write(text[at:])
	return out.Bytes()
}

var errOddly = errors.New("it is written in a way that only a human should change")

// add puts the name into one profile.
func (e *editor) add(root *yaml.Node) error {
	if root.Kind != yaml.MappingNode || root.Style&yaml.FlowStyle != 0 {
		return errOddly
	}
	key, list := pair(root, "notifications")
	switch {
	case list == nil:
		return e.addKey(root)
	case list.Kind == yaml.ScalarNode && list.ShortTag() == "!!null":
		return e.fillKey(key)
	case list.Kind != yaml.SequenceNode:
		return errOddly
	case list.Style&yaml.FlowStyle != 0:
		return e.addBetweenBrackets(list)
	}
	last := list.Content[len(list.Content)-1]
	return e.after(last.Line, strings.Repeat(" ", list.Column-1)+"- "+e.item)
}

// addBetweenBrackets puts the name at the end of [a, b].
func (e *editor) addBetweenBrackets(list *yaml.Node) error {
	if len(list.Content) == 0 {
		at, rest := e.find(list.Line, list.Column)
		if !strings.HasPrefix(rest, "[") {
			return errOddly
		}
		e.puts = append(e.puts, put{at + 1, e.item})
		return nil
	}
	last := list.Content[len(list.Content)-1]
	at, rest := e.find(last.Line, last.Column)
	for _, as := range []string{last.Value, "'" + last.Value + "'", `"` + last.Value + `"`} {
		if as != "" && strings.HasPrefix(rest, as) {
			e.puts = append(e.puts, put{at + len(as), ", " + e.item})
			return nil
		}
	}
	return errOddly
}

var emptyKey = regexp.MustCompile(`^ *notifications:[ \t]*(#.*)?$`)

// fillKey gives a list to a key without a value.
func (e *editor) fillKey(key *yaml.Node) error {
	if key.Line < 1 || key.Line > len(e.lines) || !emptyKey.MatchString(e.lines[key.Line-1].text) {
		return errOddly
	}
	return e.after(key.Line, strings.Repeat(" ", key.Column-1)+"  - "+e.item)
}

// addKey makes the key: before what is done with the profile's outcome, as in
// CrowdSec's own profiles, or at the end of the document.
func (e *editor) addKey(root *yaml.Node) error {
	margin := strings.Repeat(" ", root.Column-1)
	lines := []string{margin + "notifications:", margin + "  - " + e.item}
	var before *yaml.Node
	for _, name := range []string{"on_success", "on_failure", "on_error"} {
		if key, _ := pair(root, name); key != nil && (before == nil || key.Line < before.Line) {
			before = key
		}
	}
	if before != nil {
		return e.before(before.Line, lines...)
	}
	return e.after(e.lastOf(root), lines...)
}

// lastOf is the number of the last line of a document that is not blank.
func (e *editor) lastOf(root *yaml.Node) int {
	last := root.Line
	for n := root.Line; n <= len(e.lines); n++ {
		text := e.lines[n-1].text
		if n > root.Line && marker.MatchString(text) {
			break
		}
		if strings.TrimSpace(text) != "" {
			last = n
		}
	}
	return last
}

var marker = regexp.MustCompile(`^(---|\.\.\.)([ \t]|$)`)

// before puts lines before the line of that number.
func (e *editor) before(number int, lines ...string) error {
	if number < 1 || number > len(e.lines) {
		return errOddly
	}
	next := e.lines[number-1]
	end := e.end(number)
	e.puts = append(e.puts, put{next.start, strings.Join(lines, end) + end})
	return nil
}

// after puts lines behind the line of that number, with an end like its own.
func (e *editor) after(number int, lines ...string) error {
	if number < 1 || number > len(e.lines) {
		return errOddly
	}
	previous := e.lines[number-1]
	at := previous.start + len(previous.text) + len(previous.end)
	end := e.end(number)
	text := strings.Join(lines, end) + end
	if previous.end == "" { // the text does not end with a line's end, and will not
		text = end + strings.Join(lines, end)
	}
	e.puts = append(e.puts, put{at, text})
	return nil
}

// end is how a line ends, or lines of this text if this one does not.
func (e *editor) end(number int) string {
	for _, l := range []line{e.lines[number-1], e.lines[0]} {
		if l.end != "" {
			return l.end
		}
	}
	return "\n"
}

// find is the offset of a place, and what follows it on its line. YAML counts
// characters.
func (e *editor) find(number, column int) (offset int, rest string) {
	if number < 1 || number > len(e.lines) {
		return 0, ""
	}
	l := e.lines[number-1]
	at := 0
	for range column - 1 {
		_, size := utf8.DecodeRuneInString(l.text[at:])
		at += size
	}
	return l.start + at, l.text[at:]
}

// verify reads both texts and demands that the second says the same as the first,
// but for the name at the end of the list of each profile that was named.
func verify(before, after []byte, named map[int]bool, name string) error {
	was, err := values(before)
	if err != nil {
		return err
	}
	is, err := values(after)
	if err != nil {
		return errOddly
	}
	for i := range named {
		profile, ok := was[i].(map[string]any)
		if !ok {
			return errOddly
		}
		list, _ := profile["notifications"].([]any)
		profile["notifications"] = append(slices.Clone(list), name)
	}
	if !reflect.DeepEqual(was, is) {
		return errOddly
	}
	return nil
}

// values are what the documents of a text say.
func values(text []byte) ([]any, error) {
	roots, err := documents(text)
	if err != nil {
		return nil, err
	}
	all := make([]any, len(roots))
	for i, root := range roots {
		if err := root.Decode(&all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}
