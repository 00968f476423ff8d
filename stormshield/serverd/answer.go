package serverd

import (
	"errors"
	"slices"
	"strings"
)

// Numbers of the protocol (vendor's Python client, SRV_RET_* and NWS codes).
const (
	rootOK             = 100
	rootAuthentication = 205

	// RetAuthentication answers a command that the account may not run.
	RetAuthentication = 202
	// RetTooMany answers when too many users hold a level.
	RetTooMany = 204
	// RetPrivilege answers a command that the session has no right to.
	RetPrivilege = 205
)

// Answer is the answer to a command that succeeded.
type Answer struct {
	Ret  int    // serverd's status, 100 ≤ Ret < 200
	Code string // serverd's code, such as 00a00100
	Msg  string // in the appliance's language
	data data
}

// root is a document of the API: its element <nws>.
type root struct {
	Code      int
	Msg       string
	Delay     string // seconds, or other text
	SessionID string
	Level     string
	Serverd   []status

	data  data // of the last element <data>
	begun bool // the decoder has read the start of the element
}

// status is an element <serverd>.
type status struct {
	Ret  int
	Code string
	Msg  string
}

func (s status) failed() bool { return s.Ret < 100 || s.Ret >= 200 }

func (s status) failure() error { return &CommandError{Ret: s.Ret, Code: s.Code, Msg: s.Msg} }

// data is the content of an element <data>.
type data struct {
	lines    []string // of its text, of its elements <line>, and of elements that no source shows
	sections []section
}

type section struct {
	title string
	keys  []key // outside of elements <line>
}

type key struct{ name, value string }

// answer returns the answer, or the error of the last status. If there are two, the
// first one carries the data, and the second one the outcome.
func (r root) answer() (Answer, error) {
	if r.Code != rootOK {
		return Answer{}, &RootError{Code: r.Code, Msg: r.Msg}
	}
	if len(r.Serverd) == 0 {
		return Answer{}, errors.New("the appliance's answer holds no status")
	}
	last := r.Serverd[len(r.Serverd)-1]
	answer := Answer{Ret: last.Ret, Code: last.Code, Msg: last.Msg, data: r.data}
	if last.failed() {
		return Answer{}, &CommandError{last.Ret, last.Code, last.Msg, answer.Lines()}
	}
	return answer, nil
}

// Lines returns the lines of an answer of format raw, list, section or
// section_line. The keys of a line, or of a section, are `name=value` pairs
// joined by a space. An element that no source shows becomes a line of its own, so
// that the caller sees that it cannot read everything.
func (a Answer) Lines() []string {
	out := slices.Clip(a.data.lines)
	for _, s := range a.data.sections {
		if len(s.keys) > 0 {
			out = append(out, pairs(s.keys))
		}
	}
	return out
}

func pairs(keys []key) string {
	words := make([]string, 0, len(keys))
	for _, k := range keys {
		words = append(words, k.name+"="+k.value)
	}
	return strings.Join(words, " ")
}

// Sections returns the titles of the sections of an answer of format section, or of
// format raw.
func (a Answer) Sections() []string {
	var titles []string
	for _, s := range a.data.sections {
		titles = append(titles, s.title)
	}
	for _, text := range a.data.lines {
		if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
			titles = append(titles, text[1:len(text)-1])
		}
	}
	return titles
}

// Section returns the keys of a section of an answer of format section. Of an
// answer of format raw it reads the lines `[section]` and `key=value`.
func (a Answer) Section(title string) map[string]string {
	keys := map[string]string{}
	for _, s := range a.data.sections {
		if strings.EqualFold(s.title, title) {
			for _, k := range s.keys {
				keys[k.name] = k.value
			}
		}
	}
	in := ""
	for _, text := range a.data.lines {
		if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
			in = text[1 : len(text)-1]
		} else if name, value, ok := strings.Cut(text, "="); ok && strings.EqualFold(in, title) {
			keys[name] = strings.Trim(value, `"`)
		}
	}
	return keys
}
