package plugin

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ParentGone waits until the process that started this one is gone. CrowdSec
// leaves its plugins behind when it is killed, and a plugin that stays would
// go on beside the one of the next start.
func ParentGone(ctx context.Context) {
	parent := os.Getppid()
	pidfd, err := unix.PidfdOpen(parent, 0)
	if err == nil {
		defer func() { _ = unix.Close(pidfd) }()
	}
	for ctx.Err() == nil && os.Getppid() == parent {
		if err != nil {
			// A kernel before 5.3: ask now and then.
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		// The descriptor becomes readable when the process ends. The time-out
		// is there for the context alone.
		_, failed := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 1000)
		if failed != nil && !errors.Is(failed, unix.EINTR) {
			err = failed
		}
	}
}
