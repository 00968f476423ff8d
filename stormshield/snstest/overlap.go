package snstest

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// keptOverlaps is how many overlaps are described.
const keptOverlaps = 100

// overlaps counts how often a writer changed the appliance amid the changes of another writer. A writer is an account and the address of
// its client. Two machines with the same address need different accounts: see Options.OtherUsers.
//
// One flush of a writer has several spans. A span of the API begins when its session takes the monitor right, and one of SSH when its
// connection logs in. If another writer changed something since a span began, the next change in that span is an overlap. Then two
// flushes ran at the same time.
type overlaps struct {
	counters *counters

	mu    sync.Mutex
	clock int               // counts changes
	last  map[string]change // of each writer
	found []string
}

type change struct {
	number int // the clock after it
	what   string
}

// span is the time in which one connection of a writer changes something.
type span struct {
	writer  string
	began   int // the clock
	changed bool
}

func newOverlaps(c *counters) *overlaps { return &overlaps{counters: c, last: map[string]change{}} }

func writerOf(user string, address net.Addr) string { return writerAt(user, address.String()) }

func writerAt(user, address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return user + "@" + host
}

// begin begins a span.
func (o *overlaps) begin(writer string) span {
	o.mu.Lock()
	defer o.mu.Unlock()
	return span{writer: writer, began: o.clock}
}

// change records a change in a span.
func (o *overlaps) change(s *span, what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.compare(s, what)
	o.clock++
	o.last[s.writer] = change{o.clock, what}
	s.changed = true
}

// end ends a span.
func (o *overlaps) end(s *span, what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.changed {
		o.compare(s, what)
	}
	s.changed = false
}

// compare counts the writers that changed something since a span began, and begins the span anew.
func (o *overlaps) compare(s *span, what string) {
	for other, last := range o.last {
		if other == s.writer || last.number <= s.began {
			continue
		}
		o.counters.count(func(stats *Stats) { stats.Overlaps++ })
		if len(o.found) < keptOverlaps {
			o.found = append(o.found, fmt.Sprintf("%s: %s of %s comes amid a flush of %s: %s",
				time.Now().Format("15:04:05.000"), last.what, other, s.writer, what))
		}
	}
	s.began = o.clock
}

// command records a command of the API. A command that the appliance refuses counts too.
func (o *overlaps) command(s *session, line string) {
	upper := strings.Join(strings.Fields(strings.ToUpper(line)), " ")
	words := " " + upper + " "
	switch {
	case strings.HasPrefix(upper, "MODIFY ") && strings.Contains(words, " MONITOR "):
		if strings.Contains(words, " OFF ") {
			o.end(&s.span, line)
			return
		}
		s.span = o.begin(s.span.writer)
		o.change(&s.span, line)
	case strings.HasPrefix(upper, "MONITOR ADDRESSLIST ADD "), strings.HasPrefix(upper, "MONITOR ADDRESSLIST DELETE "),
		strings.HasPrefix(upper, "MONITOR FLUSH STATE "):
		o.change(&s.span, line)
	}
}

// sshSpan is the span of an SSH connection. Its commands may run at the same time.
type sshSpan struct {
	mu sync.Mutex
	span
}

// watchFiles returns a function for the end of an SSH command. It records a change if the command replaced a file or ran a program of the
// appliance. Only a command that got input can replace a file, because another one may replace it at the same time. A command whose
// connection has ended does not count: it belongs to no flush.
func (a *Appliance) watchFiles(ctx context.Context, s *sshSpan, line string) func(uploaded int64) {
	files, runs := a.disk.versions(), a.firmware.runs.Load()
	return func(uploaded int64) {
		edited := uploaded > 0 && a.disk.versions() != files
		ran := a.firmware.runs.Load() != runs && slices.ContainsFunc(firmwareTools, func(tool string) bool { return strings.Contains(line, tool) })
		if ctx.Err() != nil || !edited && !ran {
			return
		}
		what := "an edit over SSH"
		if !edited {
			what = "a program over SSH"
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		a.overlaps.change(&s.span, what)
	}
}

// versions identifies the files as they are now.
func (d *disk) versions() (versions [2]fileVersion) {
	for i, file := range []string{ObjectFile, GroupFile} {
		if info, err := os.Stat(d.path(file)); err == nil {
			versions[i] = fileVersion{info.Sys().(*syscall.Stat_t).Ino, info.Size(), info.ModTime()}
		}
	}
	return versions
}

type fileVersion struct {
	inode    uint64
	size     int64
	modified time.Time
}

// forget empties Overlaps.
func (o *overlaps) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.found = nil
}

// Overlaps describes how often a writer changed something amid the flush of another writer, at most 100 times. Stats.Overlaps counts all.
// They begin anew with ResetStats. An SSH server of another program (Options.NoSSH) is not seen.
func (a *Appliance) Overlaps() []string {
	a.overlaps.mu.Lock()
	defer a.overlaps.mu.Unlock()
	return append([]string{}, a.overlaps.found...)
}
