// Package lease lets one process at a time act on an appliance: the holder of the lease. All others only record.
//
// The lease is a lock (flock) on a file beside the state. The system releases it when the process ends, also by a crash. The file
// has the process ID of the holder, for people to read.
//
// Machines that share their state also share a lease in its database. A [Contender] takes it, as a [Shared]. The database may give the
// shared lease to another machine before the holder notices. So the holder asks [Shared.Permit] before each step of a flush.
//
// The package does not wait for a lease, and knows neither appliances nor bans. Its main type is [Lease]; [Try] takes one.
package lease

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Lease is the right to act on the appliance. One process at a time holds it.
type Lease struct {
	file *os.File
}

// Try takes the lease in a lock file, which it makes if there is none. It returns nil if another process holds the lease,
// or if this process already does.
func Try(path string) (*Lease, error) {
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
	// `status` and people read the process ID. It has a fixed length, so it replaces an older one completely.
	_, _ = fmt.Fprintf(file, "%-*d\n", width-1, os.Getpid())
	return &Lease{file}, nil
}

// width is how many bytes the process ID takes in the file.
const width = 32

// Release gives the lease back.
func (l *Lease) Release() error { return l.file.Close() }

// Holder returns the process that holds the lease; 0: nobody does.
func Holder(path string) (pid int, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at the lease: %w", err)
	}
	defer file.Close()
	// A process that tries to take the lease at this moment fails because of this lock. It tries again.
	switch err := unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB); {
	case err == nil:
		return 0, nil
	case !errors.Is(err, unix.EWOULDBLOCK):
		return 0, fmt.Errorf("look at the lease %s: %w", path, err)
	}
	text, err := io.ReadAll(io.LimitReader(file, width))
	if err != nil {
		return 0, fmt.Errorf("look at the lease: %w", err)
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("look at the lease %s: a process holds it whose ID is not in the file (hint: try again; is the disk full?)", path)
	}
	return pid, nil
}
