package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// placeFile makes a file that is not there yet, for its owner alone, whole or not
// at all. It is looked at before it gets its name.
func placeFile(path string, text []byte, look func(path string) error) error {
	temporary, err := writeBeside(path, text, nil)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary) }() // it has its other name by then, or is not wanted
	if err := look(temporary); err != nil {
		return err
	}
	if err := os.Link(temporary, path); err != nil { // fails if there is one
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// replaceFile replaces a text that was read from a file by another, whole or not
// at all, and first keeps a copy beside it, whose path it returns. Mode and owner
// stay. A symbolic link is followed.
func replaceFile(path string, was, is []byte) (copied string, err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	keep, err := writeBeside(path, was, info)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(keep) }()
	temporary, err := writeBeside(path, is, info)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(temporary) }()
	if copied, err = linkFree(keep, path+".bak-"+time.Now().Format("20060102-150405")); err != nil {
		return "", fmt.Errorf("keep a copy: %w", err)
	}
	now, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(now, was) {
		err = errors.New("somebody changed it meanwhile")
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(copied))
	}
	return copied, syncFolder(filepath.Dir(path))
}

// linkFree gives a file one more name, with a number behind it where there is a
// file of that name.
func linkFree(path, name string) (string, error) {
	free := name
	for n := 2; ; n++ {
		err := os.Link(path, free)
		if !errors.Is(err, fs.ErrExist) || n > 9 {
			return free, err
		}
		free = fmt.Sprintf("%s-%d", name, n)
	}
}

// writeBeside writes a file with a name of its own beside another, which CrowdSec
// does not take for one of its own. It has the mode and owner of like, or is for
// its owner alone.
func writeBeside(path string, text []byte, like fs.FileInfo) (temporary string, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return "", err
	}
	_, err = file.Write(text)
	if err == nil && like != nil {
		err = dress(file, like)
	}
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// dress gives a file the owner and mode of another. Only root can give one away.
func dress(file *os.File, like fs.FileInfo) error {
	owner, ok := like.Sys().(*syscall.Stat_t)
	if ok && os.Geteuid() == 0 {
		if err := file.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return file.Chmod(like.Mode().Perm())
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
