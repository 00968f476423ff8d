package serverd

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

// limits bound one answer after decompression.
type limits struct {
	bytes int
	tags  int // how many `<`: a small element takes much more memory than its text
}

// largestAnswer has room for a blacklist of 300,000 entries.
var largestAnswer = limits{bytes: 64 << 20, tags: 2_000_000}

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

// decode reads a document of the API.
func decode(body io.Reader, most limits) (r root, err error) {
	decoder := xml.NewDecoder(&utf8Reader{in: bufio.NewReader(body), left: most})
	decoder.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // in is UTF-8 already
	err = decoder.Decode(&r)
	return r, err
}

// utf8Reader is an answer as UTF-8, of bounded size. A byte that is not UTF-8 counts as
// Latin-1, whatever encoding the answer declares. A wrong guess does no harm,
// because decisions depend on ASCII only.
type utf8Reader struct {
	in   *bufio.Reader
	left limits
}

var errTooLarge = errors.New("it is too large")

func (t *utf8Reader) Read(p []byte) (n int, err error) {
	for n+utf8.UTFMax <= len(p) {
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
		if t.left.bytes -= size; r == '<' {
			t.left.tags--
		}
		if t.left.bytes < 0 || t.left.tags < 0 {
			return n, errTooLarge
		}
		n += utf8.EncodeRune(p[n:], r)
	}
	return n, nil
}
