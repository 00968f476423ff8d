package serverd

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// Numbers of the protocol (vendor's Python client, SRV_RET_* and NWS codes).
const (
	rootOK = 100

	// RetHeld answers MODIFY when the session holds the right already.
	RetHeld = 110
	// RetAuthentication answers a command when the login is not valid.
	RetAuthentication = 202
	// RetTooMany answers when too many users hold a level.
	RetTooMany = 204
	// RetPrivilege answers a command that the session has no right to.
	RetPrivilege = 205
)

// Answer is what a command that succeeded returned.
type Answer struct {
	Ret  int    // serverd's status, 100 ≤ Ret < 200
	Code string // serverd's own code, such as 00a00100
	Msg  string // in the appliance's language
	data data
}

type root struct {
	XMLName   xml.Name `xml:"nws"`
	Code      int      `xml:"code,attr"`
	Msg       string   `xml:"msg,attr"`
	Delay     int      `xml:"delay,attr"`
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

type data struct {
	Format   string    `xml:"format,attr"`
	Text     string    `xml:",chardata"`
	Sections []section `xml:"section"`
}

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

// decode reads what the appliance answered.
func decode(body io.Reader) (r root, err error) {
	decoder := xml.NewDecoder(io.LimitReader(body, largestAnswer))
	decoder.CharsetReader = latin1Reader
	err = decoder.Decode(&r)
	return r, err
}

// answer decides by the last status: of two, the first carries the data and
// the second the outcome.
func (r root) answer() (Answer, error) {
	if r.Code != rootOK {
		return Answer{}, &RootError{Code: r.Code, Msg: r.Msg}
	}
	if len(r.Serverd) == 0 {
		return Answer{}, errors.New("the appliance's answer holds no status")
	}
	last := r.Serverd[len(r.Serverd)-1]
	if last.Ret < 100 || last.Ret >= 200 {
		return Answer{}, &CommandError{Ret: last.Ret, Code: last.Code, Msg: last.Msg}
	}
	answer := Answer{Ret: last.Ret, Code: last.Code, Msg: last.Msg}
	for _, s := range r.Serverd {
		if s.Data != nil {
			answer.data = *s.Data
		}
	}
	return answer, nil
}

// Lines returns the lines of an answer of format raw, list or section_line,
// the latter as `name=value` pairs joined by a space.
func (a Answer) Lines() []string {
	var out []string
	for text := range strings.Lines(a.data.Text) {
		if text = strings.TrimSpace(text); text != "" {
			out = append(out, text)
		}
	}
	for _, s := range a.data.Sections {
		for _, l := range s.Lines {
			var words []string
			for _, k := range l.Keys {
				words = append(words, k.Name+"="+k.Value)
			}
			if text := strings.TrimSpace(l.Text); text != "" {
				words = append(words, text)
			}
			out = append(out, strings.Join(words, " "))
		}
	}
	return out
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

// latin1Reader lets answers through that are declared in another encoding
// than UTF-8: what is decided upon is ASCII.
func latin1Reader(_ string, in io.Reader) (io.Reader, error) { return &latin1{in: in}, nil }

type latin1 struct {
	in   io.Reader
	rest []byte
}

func (l *latin1) Read(p []byte) (int, error) {
	if len(l.rest) > 0 {
		n := copy(p, l.rest)
		l.rest = l.rest[n:]
		return n, nil
	}
	raw := make([]byte, max(1, len(p)/2))
	n, err := l.in.Read(raw)
	text := make([]byte, 0, 2*n)
	for _, b := range raw[:n] {
		text = append(text, string(rune(b))...)
	}
	copied := copy(p, text)
	l.rest = text[copied:]
	return copied, err
}
