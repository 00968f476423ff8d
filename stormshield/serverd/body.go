package serverd

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

// readAnswer reads the document of a response.
func readAnswer(response *http.Response, most limits) (root, error) {
	notAPI := &HTTPError{Status: response.Status, Code: response.StatusCode}
	plain, err := decompressed(response)
	if err != nil {
		return root{}, err
	}
	body := bufio.NewReader(plain)
	beginning, _ := body.Peek(512) // a read returns the error again
	notAPI.Page = isPage(beginning)
	if response.StatusCode != http.StatusOK {
		return root{}, notAPI
	}
	r, err := decode(body, most)
	switch {
	case err != nil && notAPI.Page:
		return root{}, notAPI
	case err != nil:
		return root{}, fmt.Errorf("read the appliance's answer: %w", err)
	}
	return r, nil
}

// isPage reports whether a text begins as HTML does.
func isPage(beginning []byte) bool {
	lower := bytes.ToLower(beginning)
	return bytes.Contains(lower, []byte("<html")) || bytes.Contains(lower, []byte("<!doctype html"))
}

// decompressed returns the body without compression. An answer may be compressed
// although the request asks for none.
func decompressed(response *http.Response) (io.Reader, error) {
	switch encoding := strings.ToLower(response.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return response.Body, nil
	case "gzip", "x-gzip":
		return openReader(gzip.NewReader(response.Body))
	case "deflate":
		return openReader(zlib.NewReader(response.Body))
	default:
		return nil, fmt.Errorf("the appliance's answer has an unknown compression (%.20q)", encoding)
	}
}

func openReader[R io.Reader](r R, err error) (io.Reader, error) {
	if err != nil {
		return nil, fmt.Errorf("decompress the appliance's answer: %w", err)
	}
	return r, nil
}

// utf8Reader is an answer as UTF-8, of bounded size. A byte that is not UTF-8 counts as
// Latin-1, whatever encoding the answer declares. A wrong guess does no harm,
// because decisions depend on ASCII only.
type utf8Reader struct {
	in    *bufio.Reader
	left  int // how many bytes the answer may still have
	most  int // how many bytes the answer may have
	split textSplitter
}

func newUTF8Reader(in io.Reader, most int) *utf8Reader {
	return &utf8Reader{in: bufio.NewReader(in), left: most, most: most}
}

func (t *utf8Reader) Read(p []byte) (n int, err error) {
	for n+utf8.UTFMax+len(splitCDATA) <= len(p) {
		r, size, err := t.in.ReadRune()
		if err != nil {
			return n, err
		}
		if r == utf8.RuneError && size == 1 {
			_ = t.in.UnreadRune() // the last call was ReadRune
			latin1, err := t.in.ReadByte()
			if err != nil {
				return n, err
			}
			r = rune(latin1)
		}
		if t.left -= size; t.left < 0 {
			return n, tooLarge(mebibytes(t.most) + " of text")
		}
		n += utf8.EncodeRune(p[n:], r)
		n += copy(p[n:], t.split.follow(r, size))
		if t.split.line > longestLine {
			return n, errLongLine
		}
	}
	return n, nil
}
