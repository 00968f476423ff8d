package filter

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"notification-stormshield/stormshield/serverd"
)

// Kind is what a line of a policy is.
type Kind int

const (
	// Unknown is a line that cannot be read. It counts by its text.
	Unknown Kind = iota
	// Rule is a filter rule.
	Rule
	// Separator is a title between rules.
	Separator
)

// Line is one line of a policy: a rule or a separator.
type Line struct {
	Kind     Kind
	Position int    // counted from 1
	Text     string // the line without its position, numbers and counters

	// Of a rule only:
	Off      bool
	Action   string
	From, To []string // names of objects; a leading ! excludes one
	Comment  string
	Name     string // "": the appliance does not show it
}

// version is one of the two versions of a policy: the argument useclone of CONFIG FILTER EXPLICIT.
type version int

const (
	activated version = iota
	edited
)

// readList reads a version of the policy of a slot. If the appliance refuses the argument useclone, readList leaves it out and returns
// split = false: the answer does not say which version it is.
func readList(ctx context.Context, session Session, slot int, v version) (lines []Line, split bool, err error) {
	command := fmt.Sprintf("CONFIG FILTER EXPLICIT index=%d type=filter", slot)
	answer, err := session.Run(ctx, fmt.Sprintf("%s useclone=%d", command, v))
	split = err == nil
	if serverd.IsRefused(err) {
		answer, err = session.Run(ctx, command)
	}
	if err != nil {
		return nil, false, err
	}
	return parseList(answer.Lines()), split, nil
}

// Captured lines (SNS 4.2 and 4.8; a separator's attributes from the format xml):
//
//	position=3; ruleid=2: off decrypt inspection ips sslfiltering:0 from Network_internals to internet # comment
//	usage=0 match=0 ruleid=5: pass from any to firewall_all port firewall_srv|https
//	position=4;separator;collapse=0;color=C0C0C0;comment=Default policy
var (
	headForm      = regexp.MustCompile(`^(?:[A-Za-z_]+=(?:"[^"]*"|[^\s;:"]*)[;\s]*)+:\s*`)
	pairForm      = regexp.MustCompile(`([A-Za-z_]+)=(?:"([^"]*)"|([^\s;:"]*))`)
	separatorForm = regexp.MustCompile(`(?i)(?:^|[\s;:=])separator(?:[\s;]|$)`)
	// numberForm matches the attributes that change by themselves, or when other lines change.
	numberForm   = regexp.MustCompile(`(^|[\s;])(?:position|ruleid|index|first_ruleid|nb_elements|usage|match)=\d+`)
	positionForm = regexp.MustCompile(`(?:^|[\s;])position=(\d+)`)
)

// parseList reads the lines of CONFIG FILTER EXPLICIT.
func parseList(texts []string) []Line {
	lines := make([]Line, 0, len(texts))
	for _, text := range texts {
		if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
			continue // the title of a section in the format raw
		}
		l := parseLine(text)
		if l.Position == 0 {
			l.Position = 1
			if n := len(lines); n > 0 {
				l.Position = lines[n-1].Position + 1
			}
		}
		lines = append(lines, l)
	}
	return lines
}

// parseLine reads one line. Its position is 0 if the line does not say it.
func parseLine(line string) Line {
	head := headForm.FindString(line)
	body := line[len(head):]
	if head == "" || separatorForm.MatchString(head) || separatorForm.MatchString(firstWord(body)) {
		return parseOther(line)
	}
	l := Line{Kind: Rule}
	var kept []string
	for _, pair := range pairForm.FindAllStringSubmatch(head, -1) {
		name, value := strings.ToLower(pair[1]), pair[2]+pair[3]
		switch _, err := strconv.Atoi(value); {
		case name == "position":
			l.Position = atLeastZero(value)
		case err == nil: // a number or a counter
		case name == "rulename" || name == "name":
			l.Name = value
			fallthrough
		default:
			kept = append(kept, pair[0])
		}
	}
	l.Text = strings.Join(append(kept, body), " ")
	if !l.readBody(body) {
		l.Kind = Unknown
	}
	return l
}

// parseOther reads a separator, or a line that cannot be read.
func parseOther(line string) Line {
	l := Line{Text: line}
	if separatorForm.MatchString(line) {
		l.Kind, l.Text = Separator, strings.TrimSpace(numberForm.ReplaceAllString(line, "$1"))
	}
	if position := positionForm.FindStringSubmatch(line); position != nil {
		l.Position = atLeastZero(position[1])
	}
	return l
}

// readBody reads `[off] ACTION … from SOURCES … to DESTINATIONS … [# COMMENT]`.
func (l *Line) readBody(body string) bool {
	body, comment, _ := strings.Cut(body, "#") // no name has a #
	l.Comment = strings.Trim(strings.TrimSpace(comment), `"`)
	words := strings.Fields(body)
	if len(words) > 0 && words[0] == "off" {
		l.Off, words = true, words[1:]
	}
	from := slices.Index(words, "from")
	to := slices.Index(words, "to")
	if from < 1 || to <= from || to+1 >= len(words) {
		return false
	}
	l.Action, l.From, l.To = words[0], names(words[from+1]), names(words[to+1])
	return true
}

// names splits a list of objects. A user may stand before the object: USER@OBJECT.
func names(list string) []string {
	var names []string
	for _, name := range strings.FieldsFunc(list, func(r rune) bool { return r == '|' || r == ',' }) {
		names = append(names, strings.Trim(name[strings.LastIndex(name, "@")+1:], `"`))
	}
	return names
}

// hasName reports whether a list has a name. No source says that letter case makes a difference.
func hasName(list []string, name string) bool {
	return slices.ContainsFunc(list, func(n string) bool { return strings.EqualFold(n, name) })
}

// mentions reports whether the text has a name as a word.
func (l Line) mentions(name string) bool {
	isBetween := func(r rune) bool { return strings.ContainsRune(" \t|,;:!@\"=()<>", r) }
	return hasName(strings.FieldsFunc(l.Text, isBetween), name)
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	return word
}

func atLeastZero(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
