package objects

import (
	"bytes"
	"iter"
)

// space is the white space around a name. edit.awk has the same.
const space = " \t\r\n"

// lines yields the lines of text, each with its line end.
func lines(text []byte) iter.Seq[[]byte] { return bytes.Lines(text) }

// header returns the name of the section that a line opens.
func header(line []byte) (string, bool) {
	line = bytes.Trim(line, space)
	if len(line) == 0 || line[0] != '[' {
		return "", false
	}
	end := bytes.IndexByte(line, ']')
	if end < 0 {
		return "", false
	}
	return string(bytes.Trim(line[1:end], space)), true
}

// entry returns a line without its comment and the white space around. It is empty
// for blank lines, comments and headers.
func entry(line []byte) []byte {
	line = bytes.Trim(line, space)
	if len(line) == 0 || line[0] == '#' || line[0] == '[' {
		return nil
	}
	if i := bytes.Index(line, []byte(` #`)); i >= 0 {
		line = bytes.Trim(line[:i], space)
	}
	return line
}

// split takes an entry of `object` apart at its first `=`.
func split(entry []byte) (name string, value []byte) {
	left, right, _ := bytes.Cut(entry, []byte("="))
	return string(bytes.Trim(left, space)), bytes.Trim(right, space)
}

// carriageReturn returns "\r" if the line has one before its "\n".
func carriageReturn(line []byte) string {
	if bytes.HasSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")) {
		return "\r"
	}
	return ""
}

// edit is a change of a text.
type edit struct {
	// line returns the new line for a line of a section, or nil to remove it.
	line func(section string, line []byte) []byte
	// below yields the lines, without line ends, to add below a section's
	// header. isNew says that the text lacked the section.
	below func(section string, isNew bool) iter.Seq[string]
	// missing names the sections to add at the end if the text lacks them.
	missing []string
	// grow is about how many bytes the edit adds.
	grow int
}

// apply edits the text in one pass. A last line without a line end stays without
// one, so that removing the added lines gives back the same bytes.
func (e edit) apply(text []byte) []byte {
	w := writer{out: make([]byte, 0, len(text)+e.grow+256)}
	made := map[string]bool{}
	section, usual := "", ""
	for line := range lines(text) {
		if len(w.out) == 0 {
			usual = carriageReturn(line)
		}
		name, opens := header(line)
		if opens {
			section = name
		}
		if kept := e.line(section, line); kept != nil {
			w.line(bytes.TrimSuffix(kept, []byte("\n")), "")
		}
		if opens && !made[section] {
			made[section] = true
			w.all(e.below(section, false), carriageReturn(line))
		}
	}
	for _, name := range e.missing {
		if !made[name] {
			w.line([]byte("["+name+"]"), usual)
			w.all(e.below(name, true), usual)
		}
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return bytes.TrimSuffix(w.out, []byte("\n"))
	}
	return w.out
}

// writer collects the lines of the new text.
type writer struct {
	out []byte
}

func (w *writer) line(line []byte, carriageReturn string) {
	w.out = append(append(append(w.out, line...), carriageReturn...), '\n')
}

func (w *writer) all(added iter.Seq[string], carriageReturn string) {
	for line := range added {
		w.line([]byte(line), carriageReturn)
	}
}
