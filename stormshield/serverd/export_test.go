package serverd

import (
	"io"
	"net/http"
)

// Read reads an answer as Run does.
func Read(body io.Reader) (Answer, error) {
	r, err := decode(body, largestAnswer)
	if err != nil {
		return Answer{}, err
	}
	return r.answer()
}

// ReadWithin reads a response of bounded size.
func ReadWithin(response *http.Response, bytes, kept int) (Answer, error) {
	r, err := readAnswer(response, limits{bytes, kept})
	if err != nil {
		return Answer{}, err
	}
	return r.answer()
}
