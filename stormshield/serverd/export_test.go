package serverd

import (
	"context"
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

// NewCommand returns a request as Run sends it.
func NewCommand(ctx context.Context) (*http.Request, error) {
	return (&Session{base: "https://192.0.2.1"}).request(ctx, http.MethodGet, "/api/command", nil)
}

// ReadWithin reads a response of bounded size.
func ReadWithin(response *http.Response, bytes, kept int) (Answer, error) {
	r, err := readAnswer(response, limits{bytes, kept})
	if err != nil {
		return Answer{}, err
	}
	return r.answer()
}
