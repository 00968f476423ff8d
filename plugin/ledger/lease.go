package ledger

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Lease is the right to act on the appliance, which one process at a time
// holds. The system takes it back when the process ends, however it ends.
type Lease struct {
	file *os.File
}

// TryLease takes the lease in a lock file. It is nil when another process, or
// another lease of this one, holds it.
func TryLease(path string) (*Lease, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lease: %w", err)
	}
	switch err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, file.Close()
	case err != nil:
		file.Close()
		return nil, fmt.Errorf("take the lease %s: %w", path, err)
	}
	// Only for people and `status` to read; the lock itself is what counts.
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &Lease{file}, nil
}

// Release gives the lease back.
func (l *Lease) Release() error { return l.file.Close() }

// Holder returns the process that took the lease last; whether it still holds
// it, [TryLease] tells.
func Holder(path string) (pid int, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read the lease: %w", err)
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read the lease %s: %w", path, err)
	}
	return pid, nil
}
