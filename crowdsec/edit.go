package crowdsec

import (
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// editor inserts a name into profiles. It looks at lines and does not parse YAML, so it may be wrong about unusual YAML.
// [verify] parses the result. An insertion moves the lines after it, so the last profile must be edited first.
type editor struct {
	lines []string // with their ends
	item  string   // the notification's name, as YAML
}

var errUnusual = errors.New("it is written in a way that only a human should change")

// add adds the name to the list in one profile.
func (e *editor) add(root *yaml.Node) error {
	if root.Kind != yaml.MappingNode || root.Style&yaml.FlowStyle != 0 {
		return errUnusual
	}
	key, list := pair(root, "notifications")
	switch {
	case list == nil:
		return e.addKey(root)
	case list.Kind == yaml.ScalarNode && list.ShortTag() == "!!null":
		if key.Line > len(e.lines) || !emptyKey.MatchString(strings.TrimRight(e.lines[key.Line-1], "\r\n")) {
			return errUnusual
		}
		return e.insertAfter(key.Line, strings.Repeat(" ", key.Column-1)+"  - "+e.item)
	case list.Kind != yaml.SequenceNode:
		return errUnusual
	case list.Style&yaml.FlowStyle != 0:
		return e.addInBrackets(list)
	}
	last := list.Content[len(list.Content)-1]
	return e.insertAfter(last.Line, strings.Repeat(" ", list.Column-1)+"- "+e.item)
}

var emptyKey = regexp.MustCompile(`^ *notifications:[ \t]*(#.*)?$`)

// addInBrackets adds the name at the end of [a, b].
func (e *editor) addInBrackets(list *yaml.Node) error {
	before, forms, separator := list, []string{"["}, ""
	if n := len(list.Content); n > 0 {
		before, separator = list.Content[n-1], ", "
		forms = []string{before.Value, "'" + before.Value + "'", `"` + before.Value + `"`}
	}
	if before.Line > len(e.lines) {
		return errUnusual
	}
	line := &e.lines[before.Line-1]
	at := 0 // YAML counts characters
	for range before.Column - 1 {
		_, size := utf8.DecodeRuneInString((*line)[at:])
		at += size
	}
	for _, form := range forms {
		if rest, found := strings.CutPrefix((*line)[at:], form); found && form != "" {
			*line = (*line)[:at] + form + separator + e.item + rest
			return nil
		}
	}
	return errUnusual
}

// addKey adds the key notifications at the end of the document. If the document has on_success, on_failure or on_error, the
// key comes before them, as in CrowdSec's own profiles.
func (e *editor) addKey(root *yaml.Node) error {
	after := e.lastLine(root)
	for _, name := range []string{"on_success", "on_failure", "on_error"} {
		if key, _ := pair(root, name); key != nil {
			after = min(after, key.Line-1)
		}
	}
	margin := strings.Repeat(" ", root.Column-1)
	return e.insertAfter(after, margin+"notifications:", margin+"  - "+e.item)
}

// lastLine returns the number of the last line of a document that is not blank.
func (e *editor) lastLine(root *yaml.Node) int {
	last := root.Line
	for n := root.Line + 1; n <= len(e.lines) && !marker.MatchString(e.lines[n-1]); n++ {
		if strings.TrimSpace(e.lines[n-1]) != "" {
			last = n
		}
	}
	return last
}

var marker = regexp.MustCompile(`^(---|\.\.\.)(\s|$)`)

// insertAfter inserts lines after the line of a number. They end as the first line does. A text whose last line has no end
// keeps it that way.
func (e *editor) insertAfter(number int, lines ...string) error {
	if number < 0 || number > len(e.lines) {
		return errUnusual
	}
	end := "\n"
	if strings.HasSuffix(e.lines[0], "\r\n") {
		end = "\r\n"
	}
	for i := range lines {
		lines[i] += end
	}
	if number > 0 && !strings.HasSuffix(e.lines[number-1], "\n") {
		e.lines[number-1] += end
		lines[len(lines)-1] = strings.TrimSuffix(lines[len(lines)-1], end)
	}
	e.lines = slices.Insert(e.lines, number, lines...)
	return nil
}

// verify reads both texts. The second one must have the same content as the first, except for the name at the end of the
// list in each of the edited profiles.
func verify(before, after []byte, edited []int, name string) error {
	want, err := values(before)
	if err != nil {
		return err
	}
	got, err := values(after)
	if err != nil {
		return errUnusual
	}
	for _, i := range edited {
		profile, ok := want[i].(map[string]any)
		if !ok {
			return errUnusual
		}
		list, _ := profile["notifications"].([]any)
		profile["notifications"] = append(slices.Clone(list), name)
	}
	if !reflect.DeepEqual(want, got) {
		return errUnusual
	}
	return nil
}

// values returns the content of each document of a text.
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
