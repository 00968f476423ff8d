package plugin

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ReadIdentity returns the identity of this machine: it tells this machine from another one with the same name. "": it has none yet.
func (s State) ReadIdentity() (string, error) {
	text, err := os.ReadFile(s.Identity)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}

// makeIdentity returns the identity of this machine, and makes it if there is none. It has a file of its own, because it must stay when a
// damaged outbox is set aside.
func (s State) makeIdentity() (string, error) {
	id, err := s.ReadIdentity()
	if id != "" || err != nil {
		return id, err
	}
	file, err := os.CreateTemp(filepath.Dir(s.Identity), filepath.Base(s.Identity)+".*")
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(rand.Text())
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Link(file.Name(), s.Identity)
	}
	if errors.Is(err, fs.ErrExist) { // another process of this machine was faster
		err = nil
	}
	if err = errors.Join(err, os.Remove(file.Name())); err != nil {
		return "", fmt.Errorf("make the identity of this machine: %w", err)
	}
	return s.ReadIdentity()
}
