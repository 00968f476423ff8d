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
	bytes int // the bytes of its text
	kept  int // the bytes of memory that the decoder keeps of it
}

// largestAnswer has room for a blacklist of 300,000 IPv6 entries. SHOW prints an entry in at
// most 115 bytes as a line, and 191 bytes as an element. So the text has at most 55 MiB. The
// decoder keeps 300,000 times 114 bytes and an overhead: 46.4 MiB. The garbage collector may
// need as much again.
var largestAnswer = limits{bytes: 64 << 20, kept: 47 << 20}

const (
	// longestLine bounds a line of text, a tag, and the keys of an element <line>.
	longestLine = 64 << 10
	// mostLevels bounds the nesting of elements. The API nests six levels.
	mostLevels = 50
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
	most int      // how many bytes of memory the decoder may keep
	left int      // how many of these are left
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
			err = d.startElement(t)
		case xml.CharData:
			err = d.addText(t)
		case xml.EndElement:
			err = d.endElement()
		}
		switch {
		case errors.Is(err, io.EOF):
			return root{}, io.ErrUnexpectedEOF
		case err != nil:
			return root{}, err
		case token != nil && len(d.path) == 0 && d.root.begun:
			return d.root, nil
		}
	}
}

// reserve counts the memory of strings that the decoder keeps.
func (d *decoder) reserve(strings ...string) error {
	for _, s := range strings {
		d.left -= len(s) + overhead
	}
	if d.left < 0 {
		return tooLarge(mebibytes(d.most) + " of entries")
	}
	return nil
}

// innermost returns the innermost open element; "": there is none, or it has no meaning.
func (d *decoder) innermost() string {
	if len(d.path) == 0 {
		return ""
	}
	return d.path[len(d.path)-1]
}

func (d *decoder) startElement(e xml.StartElement) error {
	name, parent := e.Name.Local, d.innermost()
	if len(d.path) == 0 && name != "nws" {
		return fmt.Errorf("its root element is <%.60s>", name)
	}
	if len(d.path) > 0 && !slices.Contains(parents[name], parent) {
		name = ""
	}
	if d.path = append(d.path, name); len(d.path) > mostLevels {
		return tooLarge("more than " + strconv.Itoa(mostLevels) + " levels of elements")
	}
	var err error
	r := &d.root
	switch name {
	case "nws":
		r.begun = true
		r.Msg, r.Delay = attribute(e, "msg"), attribute(e, "delay")
		r.Code, err = numberOf(e, "code")
	case "serverd":
		s := status{Code: attribute(e, "code"), Msg: attribute(e, "msg")}
		s.Ret, err = numberOf(e, "ret")
		r.Serverd = append(r.Serverd, s)
		return errors.Join(err, d.reserve(s.Code, s.Msg, "", ""))
	case "sessionid":
		r.SessionID = ""
	case "sessionlevel":
		r.Level = ""
	case "data":
		r.data = data{}
	case "section":
		r.data.sections = append(r.data.sections, section{title: attribute(e, "title")})
		return d.reserve(attribute(e, "title"), "", "")
	case "key":
		return d.addKey(parent, key{attribute(e, "name"), attribute(e, "value")})
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

// numberOf returns the value of an attribute; 0 without it.
func numberOf(e xml.StartElement, name string) (int, error) {
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

func (d *decoder) addKey(parent string, k key) error {
	if parent == "line" {
		return appendLine(&d.line, []byte(k.name+"="+k.value+" "))
	}
	last := &d.root.data.sections[len(d.root.data.sections)-1]
	last.keys = append(last.keys, k)
	return d.reserve(k.name, k.value, "")
}

func (d *decoder) addText(text []byte) error {
	switch d.innermost() {
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
				if err := d.endLine(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (d *decoder) endElement() error {
	name := d.innermost()
	d.path = d.path[:len(d.path)-1]
	switch name {
	case "data":
		return d.endLine()
	case "line":
		err := d.addLine(d.line)
		d.line = d.line[:0]
		return err
	}
	return nil
}

// endLine adds the last line of the text of <data>, unless it is empty.
func (d *decoder) endLine() (err error) {
	if len(bytes.TrimSpace(d.text)) > 0 {
		err = d.addLine(d.text)
	}
	d.text = d.text[:0]
	return err
}

func (d *decoder) addLine(text []byte) error {
	line := string(bytes.TrimSpace(text))
	d.root.data.lines = append(d.root.data.lines, line)
	return d.reserve(line)
}

func appendLine(line *[]byte, text []byte) error {
	if *line = append(*line, text...); len(*line) > longestLine {
		return errLongLine
	}
	return nil
}

var errLongLine = tooLarge("a line of more than " + strconv.Itoa(longestLine>>10) + " KiB")
