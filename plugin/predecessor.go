package plugin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// predecessorTimeout is a little longer than CrowdSec waits before it kills a plugin.
	predecessorTimeout = 2500 * time.Millisecond
	// noticeTime is the time in which CrowdSec notices the end of the old process.
	noticeTime = 500 * time.Millisecond
)

// awaitPredecessor waits for the end of the plugin process that ran before a reload of CrowdSec. On SIGHUP, CrowdSec (1.4.6
// and 1.7.8) starts the new process while it ends the old one. If the new one is ready first, CrowdSec mistakes the end of
// the old one for the end of the new one. It then kills the new one, and no ban is enforced any more. The plugins of
// `crowdsec -t` and cscli have other parents, so awaitPredecessor ignores them.
func awaitPredecessor(ctx context.Context, proc string) {
	ctx, cancel := context.WithTimeout(ctx, predecessorTimeout)
	defer cancel()
	waited := false
	for ctx.Err() == nil && hasSibling(proc, os.Getpid()) {
		waited = true
		pause(ctx, 20*time.Millisecond)
	}
	if waited {
		pause(context.WithoutCancel(ctx), noticeTime)
	}
}

// hasSibling reports whether another process of the same program has the same parent. It ignores processes that it cannot read.
func hasSibling(proc string, self int) bool {
	mine, ok := readStat(proc, fmt.Sprint(self))
	if !ok {
		return false
	}
	processes, err := os.ReadDir(proc)
	if err != nil {
		return false
	}
	for _, p := range processes {
		if name := p.Name(); name[0] >= '0' && name[0] <= '9' && name != fmt.Sprint(self) {
			if other, ok := readStat(proc, name); ok && other == mine {
				return true
			}
		}
	}
	return false
}

// stat identifies the processes of one program under one parent.
type stat struct{ command, parent string }

// readStat reads /proc/PID/stat: "PID (command) state parent …" (proc(5)). A zombie counts, because CrowdSec has not noticed its end.
func readStat(proc, pid string) (stat, bool) {
	text, err := os.ReadFile(filepath.Join(proc, pid, "stat"))
	if err != nil {
		return stat{}, false
	}
	_, rest, _ := strings.Cut(string(text), "(")
	end := strings.LastIndex(rest, ")")
	if end < 0 {
		return stat{}, false
	}
	fields := strings.Fields(rest[end+1:])
	if len(fields) < 2 || fields[0] == "X" {
		return stat{}, false
	}
	return stat{command: rest[:end], parent: fields[1]}, true
}

// pause waits, and reports whether the context is still valid.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(max(d, 0)):
		return ctx.Err() == nil
	}
}
