package plugin

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// parentInterval is how often WaitForParentEnd looks at the parent where the kernel
// cannot report its end.
const parentInterval = 50 * time.Millisecond

// WaitForParentEnd waits until the process that started this one is gone. CrowdSec
// leaves its plugins behind when it is killed, and a plugin that stays would
// work beside the plugin of the next start.
//
// The caller reads the parent's process ID as soon as it runs, because a process
// whose parent ended gets another parent. If CrowdSec ended even earlier, the ID is
// that of another process. The ID 1 proves nothing, because CrowdSec itself has it
// in a container. Only CrowdSec reads the pipe out, the plugin's standard output: if
// the pipe has no reader, CrowdSec has ended.
func WaitForParentEnd(ctx context.Context, parent int, out *os.File) {
	defer runtime.KeepAlive(out) // an unused os.File closes its descriptor
	watched := []unix.PollFd{{Fd: int32(out.Fd())}}
	wait := parentInterval
	if pidfd, err := unix.PidfdOpen(parent, 0); err == nil { // not before Linux 5.3
		defer func() { _ = unix.Close(pidfd) }()
		watched = append(watched, unix.PollFd{Fd: int32(pidfd), Events: unix.POLLIN})
		wait = time.Second // only the end of ctx waits for this
	}
	for ctx.Err() == nil && os.Getppid() == parent {
		if _, err := unix.Poll(watched, int(wait.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
			pause(ctx, parentInterval)
			continue
		}
		if watched[0].Revents&unix.POLLERR != 0 {
			return
		}
	}
}
