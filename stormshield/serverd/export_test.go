package serverd

import "io"

// Read reads an answer as Run does.
func Read(body io.Reader) (Answer, error) {
	r, err := decode(body)
	if err != nil {
		return Answer{}, err
	}
	return r.answer()
}
