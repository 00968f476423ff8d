package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Owner is the user and the group of a file.
type Owner struct{ UID, GID int }

// root may open every file.
var root = Owner{}

// OwnerOf returns the owner of a file.
func OwnerOf(path string) (Owner, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Owner{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Owner{}, fmt.Errorf("find the owner of %s: %w", path, errors.ErrUnsupported)
	}
	return Owner{int(stat.Uid), int(stat.Gid)}, nil
}

// Owner returns the user that a command of root changes to before it opens the state. This is the plugin's user, so that the
// plugin can open the files that the command makes: the owner of the ledger or, without a ledger, of its folder. It is
// root if that user cannot open every file. The error is [fs.ErrNotExist] if there is neither ledger nor folder.
func (s State) Owner() (Owner, error) {
	dir := filepath.Dir(s.Path)
	info, err := os.Stat(dir)
	if err != nil {
		return Owner{}, err
	}
	folder, err := OwnerOf(dir)
	if err != nil {
		return Owner{}, err
	}
	owner, err := OwnerOf(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return folder, nil
	}
	if err != nil {
		return Owner{}, err
	}
	if folder.UID != owner.UID && info.Mode().Perm()&0o007 != 0o007 {
		return root, nil
	}
	for _, file := range []string{s.Lease, s.Lockout, s.Path + "-wal", s.Path + "-shm"} {
		if other, err := OwnerOf(file); err == nil && other.UID != owner.UID {
			return root, nil
		}
	}
	return owner, nil
}

// makeFiles makes the missing files beside the ledger.
func (s State) makeFiles() error {
	return errors.Join(s.makeFile(s.Lease), s.makeFile(s.Lockout))
}

// fileSize is the size, in bytes, of a new file beside the ledger. So its text has room also when the disk is full.
const fileSize = 2048

// makeFile makes a blank file if there is none. A file that root makes gets the ledger's owner, like SQLite's own files.
func (s State) makeFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil {
			return &fs.PathError{Op: "write to", Path: path, Err: err}
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	_, _ = file.Write(bytes.Repeat([]byte{' '}, fileSize)) // a shorter file works until the disk is full
	if os.Geteuid() != 0 {
		return nil
	}
	owner, err := OwnerOf(s.Path)
	if err != nil {
		return err
	}
	return file.Chown(owner.UID, owner.GID)
}

// withOwnerHint adds a hint to an error of Open: the command that gives the state to the user of this process.
func (s State) withOwnerHint(err error) error {
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	me, dir := UserName(os.Geteuid()), filepath.Dir(s.Path)
	switch _, failed := os.Stat(dir); {
	case errors.Is(failed, fs.ErrNotExist):
		return fmt.Errorf("%w (hint: make the folder for the plugin's user: install -d -m 700 -o %s %s)", err, me, dir)
	case failed != nil:
		return fmt.Errorf("%w (hint: let the plugin's user, %s, through each folder above it; namei -l %s shows them)", err, me, dir)
	}
	return fmt.Errorf("%w (hint: give the folder to the plugin's user, with all that is in it: chown -R %s %s && chmod -R u+rwX %[3]s)", err, me, dir)
}

// UserName returns the name of a user, or the number if the system has no name.
func UserName(uid int) string {
	number := strconv.Itoa(uid)
	if found, err := user.LookupId(number); err == nil {
		return found.Username
	}
	return number
}
