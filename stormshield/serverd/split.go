package serverd

// textSplitter splits the long texts of an XML document, because encoding/xml keeps a text
// in memory up to the next tag. It follows the document rune by rune. Behind a line end of a
// long text it adds an empty comment. In CDATA it ends the section and begins a new one.
type textSplitter struct {
	state textState
	tag   []byte  // the beginning of the present markup
	last  [2]rune // the last two runes
	line  int     // bytes since the last line end outside of markup, or since the last markup
	text  int     // bytes since the last markup
}

type textState int

const (
	inText textState = iota
	inMarkup
	inCDATA
)

const (
	splitText  = "<!---->"
	splitCDATA = "]]><![CDATA["
)

// follow reads the next rune of the document, and returns the markup to add behind it.
func (t *textSplitter) follow(r rune, size int) (markup string) {
	last := t.last
	t.last = [2]rune{last[1], r}
	t.line += size
	t.text += size
	switch {
	case t.state == inText && r == '<':
		t.enter(inMarkup)
	case t.state == inMarkup && r == '>', t.state == inCDATA && r == '>' && last == [2]rune{']', ']'}:
		t.enter(inText)
	case t.state == inMarkup && len(t.tag) < len("![CDATA["):
		if t.tag = append(t.tag, byte(r)); string(t.tag) == "![CDATA[" {
			t.enter(inCDATA)
		}
	case t.state != inMarkup && r == '\n':
		t.line = 0
		if t.text < longestLine {
			break
		}
		t.text = 0
		if t.state == inCDATA {
			return splitCDATA
		}
		return splitText
	}
	return ""
}

func (t *textSplitter) enter(state textState) {
	t.state, t.tag, t.line, t.text = state, t.tag[:0], 0, 0
}
