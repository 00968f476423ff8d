package serverd

import (
	"encoding/xml"
	"errors"
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

type root struct {
	XMLName   xml.Name `xml:"nws"`
	Code      int      `xml:"code,attr"`
	Msg       string   `xml:"msg,attr"`
	Delay     string   `xml:"delay,attr"` // seconds, or other text
	SessionID string   `xml:"sessionid"`
	Level     string   `xml:"sessionlevel"`
	Serverd   []status `xml:"serverd"`
}

type status struct {
	Ret  int    `xml:"ret,attr"`
	Code string `xml:"code,attr"`
	Msg  string `xml:"msg,attr"`
	Data *data  `xml:"data"`
}

func (s status) failed() bool { return s.Ret < 100 || s.Ret >= 200 }

func (s status) failure() error { return &CommandError{Ret: s.Ret, Code: s.Code, Msg: s.Msg} }

type data struct {
	Format   string    `xml:"format,attr"`
	Text     string    `xml:",chardata"`
	Sections []section `xml:"section"`
	Unknown  []unknown `xml:",any"`
}

// unknown is an element that no source shows.
type unknown struct{ XMLName xml.Name }

type section struct {
	Title string `xml:"title,attr"`
	Keys  []key  `xml:"key"`
	Lines []line `xml:"line"`
}

type line struct {
	Keys []key  `xml:"key"`
	Text string `xml:",chardata"`
}

type key struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

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
	if last.failed() {
		return Answer{}, last.failure()
	}
	answer := Answer{Ret: last.Ret, Code: last.Code, Msg: last.Msg}
	for _, s := range r.Serverd {
		if s.Data != nil {
			answer.data = *s.Data
		}
	}
	return answer, nil
}

// Lines returns the lines of an answer of format raw, list, section or
// section_line. The keys of a line, or of a section, are `name=value` pairs
// joined by a space. An element that no source shows becomes a line of its own, so
// that the caller sees that it cannot read everything.
func (a Answer) Lines() []string {
	var out []string
	for text := range strings.Lines(a.data.Text) {
		if text = strings.TrimSpace(text); text != "" {
			out = append(out, text)
		}
	}
	for _, s := range a.data.Sections {
		if len(s.Keys) > 0 {
			out = append(out, pairs(s.Keys))
		}
		for _, l := range s.Lines {
			out = append(out, strings.TrimSpace(pairs(l.Keys)+" "+strings.TrimSpace(l.Text)))
		}
	}
	for _, u := range a.data.Unknown {
		out = append(out, "<"+u.XMLName.Local+">")
	}
	return out
}

func pairs(keys []key) string {
	words := make([]string, 0, len(keys))
	for _, k := range keys {
		words = append(words, k.Name+"="+k.Value)
	}
	return strings.Join(words, " ")
}

// Sections returns the titles of the sections of an answer of format section, or of
// format raw.
func (a Answer) Sections() []string {
	var titles []string
	for _, s := range a.data.Sections {
		titles = append(titles, s.Title)
	}
	for text := range strings.Lines(a.data.Text) {
		if text = strings.TrimSpace(text); strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
			titles = append(titles, text[1:len(text)-1])
		}
	}
	return titles
}

// Section returns the keys of a section of an answer of format section. Of an
// answer of format raw it reads the lines `[section]` and `key=value`.
func (a Answer) Section(title string) map[string]string {
	keys := map[string]string{}
	for _, s := range a.data.Sections {
		if strings.EqualFold(s.Title, title) {
			for _, k := range s.Keys {
				keys[k.Name] = k.Value
			}
		}
	}
	in := ""
	for text := range strings.Lines(a.data.Text) {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
			in = text[1 : len(text)-1]
		} else if name, value, ok := strings.Cut(text, "="); ok && strings.EqualFold(in, title) {
			keys[name] = strings.Trim(value, `"`)
		}
	}
	return keys
}
