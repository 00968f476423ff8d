package serverd

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// limits bound one answer after decompression.
type limits struct {
	bytes int // of its text
	kept  int // bytes of memory for what decode keeps of it
}

// largestAnswer has room for a blacklist of 300,000 IPv6 entries. SHOW prints an entry in at
// most 115 bytes as a line, and 191 bytes as an element. So the text has at most 55 MiB, and
// decode keeps 300,000 times 114 bytes and an overhead, 46.4 MiB. The garbage collector
// may need as much again.
var largestAnswer = limits{bytes: 64 << 20, kept: 47 << 20}

const (
	// longestLine bounds a line of text, a tag, and the keys of an element <line>.
	longestLine = 64 << 10
	// deepest bounds the nesting of elements. Those that the API uses have six levels.
	deepest = 50
	// overhead is the memory of a kept string beside its bytes.
	overhead = 48
)

func tooLarge(what string) error {
	return fmt.Errorf("it is too large: it has %s (hint: look at what answers on this port, and at the length of the blacklist)", what)
}

func mebibytes(n int) string { return fmt.Sprintf("more than %d MiB", n>>20) }

// parents names the elements in which an element has a meaning.
var parents = map[string][]string{
	"serverd": {"nws"}, "sessionid": {"nws"}, "sessionlevel": {"nws"},
	"data": {"serverd"}, "section": {"data"}, "line": {"section"}, "key": {"section", "line"},
}

// decoder reads a document element by element, because a tree of small elements would
// need much more memory than their text.
type decoder struct {
	root root
	most int      // how much memory the document may need
	left int      // how much of that is left
	path []string // the open elements; "": one without a meaning
	text []byte   // the last line of <data>, without its end
	line []byte   // the keys and the text of an open <line>
}

// decode reads a document of the API.
func decode(body io.Reader, most limits) (root, error) {
	tokens := xml.NewDecoder(newUTF8Reader(body, most.bytes))
	tokens.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // in is UTF-8 already
	d := decoder{most: most.kept, left: most.kept}
	for {
		token, err := tokens.Token()
		switch t := token.(type) {
		case xml.StartElement:
			err = d.start(t)
		case xml.CharData:
			err = d.chars(t)
		case xml.EndElement:
			err = d.end()
		}
		switch {
		case errors.Is(err, io.EOF):
			return root{}, io.ErrUnexpectedEOF
		case err != nil:
			return root{}, err
		case token != nil && len(d.path) == 0 && d.root.read:
			return d.root, nil
		}
	}
}

// keep counts the memory of strings that decode keeps.
func (d *decoder) keep(strings ...string) error {
	for _, s := range strings {
		d.left -= len(s) + overhead
	}
	if d.left < 0 {
		return tooLarge(mebibytes(d.most) + " of entries")
	}
	return nil
}

func (d *decoder) parent() string {
	if len(d.path) == 0 {
		return ""
	}
	return d.path[len(d.path)-1]
}

func (d *decoder) start(e xml.StartElement) error {
	name, parent := e.Name.Local, d.parent()
	if len(d.path) == 0 && name != "nws" {
		return fmt.Errorf("its root element is <%.60s>", name)
	}
	if len(d.path) > 0 && !slices.Contains(parents[name], parent) {
		name = ""
	}
	if d.path = append(d.path, name); len(d.path) > deepest {
		return tooLarge("more than " + strconv.Itoa(deepest) + " levels of elements")
	}
	var err error
	r := &d.root
	switch name {
	case "nws":
		r.read = true
		r.Msg, r.Delay = attribute(e, "msg"), attribute(e, "delay")
		r.Code, err = number(e, "code")
	case "serverd":
		s := status{Code: attribute(e, "code"), Msg: attribute(e, "msg")}
		s.Ret, err = number(e, "ret")
		r.Serverd = append(r.Serverd, s)
		return errors.Join(err, d.keep(s.Code, s.Msg, "", ""))
	case "sessionid":
		r.SessionID = ""
	case "sessionlevel":
		r.Level = ""
	case "data":
		r.data = data{}
	case "section":
		r.data.sections = append(r.data.sections, section{title: attribute(e, "title")})
		return d.keep(attribute(e, "title"), "", "")
	case "key":
		return d.key(parent, key{attribute(e, "name"), attribute(e, "value")})
	case "":
		if parent == "data" {
			return d.addLine([]byte("<" + e.Name.Local + ">"))
		}
	}
	return err
}

// attribute returns the value of an attribute; "" without it.
func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// number returns the value of an attribute; 0 without it.
func number(e xml.StartElement, name string) (int, error) {
	text := strings.TrimSpace(attribute(e, name))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("its attribute %s is no number: %.60q", name, text)
	}
	return n, nil
}

func (d *decoder) key(parent string, k key) error {
	if parent == "line" {
		return appendLine(&d.line, []byte(k.name+"="+k.value+" "))
	}
	last := &d.root.data.sections[len(d.root.data.sections)-1]
	last.keys = append(last.keys, k)
	return d.keep(k.name, k.value, "")
}

func (d *decoder) chars(text []byte) error {
	switch d.parent() {
	case "sessionid":
		d.root.SessionID += string(text)
	case "sessionlevel":
		d.root.Level += string(text)
	case "line":
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return appendLine(&d.line, []byte(string(text)+" "))
		}
	case "data":
		for part := range bytes.Lines(text) {
			if err := appendLine(&d.text, part); err != nil {
				return err
			}
			if part[len(part)-1] == '\n' {
				if err := d.endText(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (d *decoder) end() error {
	name := d.parent()
	d.path = d.path[:len(d.path)-1]
	switch name {
	case "data":
		return d.endText()
	case "line":
		err := d.addLine(d.line)
		d.line = d.line[:0]
		return err
	}
	return nil
}

// endText adds the last line of <data>, unless it is empty.
func (d *decoder) endText() (err error) {
	if len(bytes.TrimSpace(d.text)) > 0 {
		err = d.addLine(d.text)
	}
	d.text = d.text[:0]
	return err
}

func (d *decoder) addLine(text []byte) error {
	line := string(bytes.TrimSpace(text))
	d.root.data.lines = append(d.root.data.lines, line)
	return d.keep(line)
}

func appendLine(line *[]byte, text []byte) error {
	if *line = append(*line, text...); len(*line) > longestLine {
		return errLongLine
	}
	return nil
}

var errLongLine = tooLarge("a line of more than " + strconv.Itoa(longestLine>>10) + " KiB")
