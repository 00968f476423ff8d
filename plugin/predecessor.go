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
	// predecessorTimeout is a little more than CrowdSec gives a plugin to end
	// before it kills it.
	predecessorTimeout = 2500 * time.Millisecond
	// settling is how long CrowdSec gets to notice that the old process ended.
	settling = 500 * time.Millisecond
)

// awaitPredecessor waits until the plugin process that CrowdSec had before its
// reload is gone. On SIGHUP, CrowdSec (1.4.6 and 1.7.8) starts the new process
// while it ends the old one, and if the new one is ready first, it takes the
// end of the old one for its own and kills it for good: no ban would be
// enforced any more. `crowdsec -t` and cscli have plugins of their own, which
// are not waited for.
func awaitPredecessor(ctx context.Context, proc string) {
	ctx, cancel := context.WithTimeout(ctx, predecessorTimeout)
	defer cancel()
	waited := false
	for ctx.Err() == nil && hasSibling(proc, os.Getpid()) {
		waited = true
		pause(ctx, 20*time.Millisecond)
	}
	if waited {
		pause(context.WithoutCancel(ctx), settling)
	}
}

// hasSibling reports whether another process of the same program has the same
// parent. What it cannot read is none.
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

// stat is what tells the processes of one program under one parent.
type stat struct{ command, parent string }

// readStat reads /proc/PID/stat: "PID (command) state parent …" (proc(5)). A
// process that has ended and waits to be collected is none.
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
	if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
		return stat{}, false
	}
	return stat{command: rest[:end], parent: fields[1]}, true
}

// pause waits, and reports whether the context still stands.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(max(d, 0)):
		return ctx.Err() == nil
	}
}
