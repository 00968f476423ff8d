package shell

import (
	"bytes"
	"slices"
)

// largestBefore is how much a frame keeps of the beginning, and of the end, of the text before the first marker.
const largestBefore = 64 << 10

// frame reads one output of a command. It separates the text of the command from
// the text that the login shell prints before and after it.
type frame struct {
	marker   []byte
	limit    int    // the greatest number of bytes that are kept
	overflow func() // called when more arrive; nil: they are dropped

	taken      int
	overflowed bool
	begun      bool
	began      chan struct{} // closed when begun
	before     []byte        // the text before the first marker: its beginning and its end
	inside     pieces        // everything after the first marker
}

func newFrame(marker string, limit int) *frame {
	return &frame{marker: []byte(marker), limit: limit, began: make(chan struct{})}
}

func (f *frame) Write(p []byte) (int, error) {
	kept := p[:min(len(p), f.limit-f.taken)]
	f.taken += len(kept)
	if len(kept) < len(p) && f.overflow != nil && !f.overflowed {
		f.overflowed = true
		f.overflow()
	}
	if !f.begun {
		kept = f.begin(kept)
	}
	f.inside.add(kept)
	return len(p), nil
}

// begin looks for the first marker, and returns the text behind its line.
func (f *frame) begin(p []byte) []byte {
	line := append(slices.Clone(f.marker), '\n')
	from := max(0, len(f.before)-len(line))
	f.before = append(f.before, p...)
	i := bytes.Index(f.before[from:], line)
	if i < 0 {
		if n := len(f.before); n > 2*largestBefore { // the middle is needed neither for the marker nor for an error
			f.before = slices.Delete(f.before, largestBefore, n-largestBefore)
		}
		return nil
	}
	inside := f.before[from+i+len(line):]
	f.before = f.before[:from+i]
	f.begun = true
	close(f.began)
	return inside
}

// cut returns the text of the command, and the text after the last marker. ended is
// false without a last marker.
func (f *frame) cut() (text, after []byte, ended bool) {
	all := f.inside.bytes()
	i := bytes.LastIndex(all, f.marker)
	if i < 0 {
		return all, nil, false
	}
	return all[:i], all[i+len(f.marker):], true
}

// pieces collects text and returns it in one slice of the right size, because files
// of many megabytes arrive this way.
type pieces struct {
	full [][]byte
	last []byte
}

func (p *pieces) add(b []byte) {
	const size = 64 << 10
	for rest := b; len(rest) > 0; {
		if len(p.last) == cap(p.last) {
			if len(p.last) > 0 {
				p.full = append(p.full, p.last)
			}
			p.last = make([]byte, 0, size)
		}
		n := min(len(rest), cap(p.last)-len(p.last))
		p.last, rest = append(p.last, rest[:n]...), rest[n:]
	}
}

func (p *pieces) bytes() []byte { return slices.Concat(append(p.full, p.last)...) }
