package plugin

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// parentInterval is how often WaitForParentEnd checks the parent if the kernel cannot report its end.
const parentInterval = 50 * time.Millisecond

// WaitForParentEnd waits until the process that started this one has ended. A CrowdSec that is killed leaves its plugins
// running, beside the plugins of its next start.
//
// The caller reads the parent's process ID as soon as it runs, because a process whose parent ended gets another parent. If
// CrowdSec ended even earlier, the ID is that of another process. The ID 1 proves nothing: CrowdSec itself has it in a
// container. So WaitForParentEnd also watches out, the plugin's standard output. Only CrowdSec reads that pipe.
func WaitForParentEnd(ctx context.Context, parent int, out *os.File) {
	defer runtime.KeepAlive(out) // the garbage collector closes an unused file
	watched := []unix.PollFd{{Fd: int32(out.Fd())}}
	wait := parentInterval
	if pidfd, err := unix.PidfdOpen(parent, 0); err == nil { // not before Linux 5.3
		defer func() { _ = unix.Close(pidfd) }()
		watched = append(watched, unix.PollFd{Fd: int32(pidfd), Events: unix.POLLIN})
		wait = time.Second // the end of ctx is seen with this delay
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
