package setup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// createFile makes a new file for its owner alone, whole or not at all. Before the file has its name, it must pass a
// check.
func createFile(path string, text []byte, check func(path string) error) error {
	pending, err := writePending(path, text)
	if err != nil {
		return err
	}
	defer func() { _ = pending.Cleanup() }() // removes the temporary name
	if err := check(pending.Name()); err != nil {
		return err
	}
	if err := os.Link(pending.Name(), path); err != nil { // fails if the file exists
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// replaceFile replaces the text of a file, whole or not at all, if nobody has changed it since it was read. It keeps the
// old file under another name, and returns that. Mode and owner stay the same. A symbolic link is followed.
func replaceFile(path string, old, text []byte) (kept string, err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	pending, err := writePending(path, text, renameio.WithExistingPermissions())
	if err != nil {
		return "", err
	}
	defer func() { _ = pending.Cleanup() }()
	if err := copyOwner(pending.File, path); err != nil {
		return "", err
	}
	now, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(now, old) {
		return "", errors.New("another program has changed it meanwhile")
	}
	if kept, err = linkFreeName(path, path+".bak-"+time.Now().Format("20060102-150405")); err != nil {
		return "", fmt.Errorf("keep the old file: %w", err)
	}
	if err := pending.CloseAtomicallyReplace(); err != nil {
		return "", errors.Join(err, os.Remove(kept))
	}
	return kept, syncFolder(filepath.Dir(path))
}

// writePending writes a durable file without its final name, in the same folder. CrowdSec does not read it there.
func writePending(path string, text []byte, options ...renameio.Option) (*renameio.PendingFile, error) {
	pending, err := renameio.NewPendingFile(path, append(options, renameio.WithTempDir(filepath.Dir(path)))...)
	if err != nil {
		return nil, err
	}
	if _, err = pending.Write(text); err == nil {
		err = pending.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, pending.Cleanup())
	}
	return pending, nil
}

// linkFreeName gives a file one more name, with a number behind it if that name is taken.
func linkFreeName(path, name string) (string, error) {
	free := name
	for n := 2; ; n++ {
		err := os.Link(path, free)
		if !errors.Is(err, fs.ErrExist) || n > 9 {
			return free, err
		}
		free = fmt.Sprintf("%s-%d", name, n)
	}
}

// copyOwner gives a file the owner of another. Only root can do so.
func copyOwner(file *os.File, like string) error {
	info, err := os.Stat(like)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return file.Chown(int(owner.Uid), int(owner.Gid))
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
