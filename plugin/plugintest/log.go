package plugintest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Line is one line of the plugin's log.
type Line struct {
	Received time.Time
	Level    string // "" for a line that is not of the log, such as a panic's
	Message  string
	Fields   map[string]any // numbers are float64
	Text     string
}

// Int returns a number; 0 without the field.
func (l Line) Int(field string) int {
	n, _ := l.Fields[field].(float64)
	return int(n)
}

// IsFlush reports whether the line says that a flush is complete.
func (l Line) IsFlush() bool { return l.Message == "flushed" }

// Reasserted reports whether that flush blocked everything again.
func (l Line) Reasserted() bool {
	again, _ := l.Fields["reasserted"].(bool)
	return again
}

// UsedSSH reports whether that flush wrote or compared the files.
func (l Line) UsedSSH() bool {
	used, _ := l.Fields["ssh"].(bool)
	return used
}

// Log collects the lines of a plugin's standard error.
type Log struct {
	mu      sync.Mutex
	partial []byte
	lines   []Line
	grown   chan struct{} // closed at the next line
}

func newLog() *Log { return &Log{grown: make(chan struct{})} }

// Write adds to the log.
func (l *Log) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, text...)
	for {
		line, rest, whole := bytes.Cut(l.partial, []byte("\n"))
		if !whole {
			return len(text), nil
		}
		l.lines = append(l.lines, parse(line))
		l.partial = bytes.Clone(rest)
		close(l.grown)
		l.grown = make(chan struct{})
	}
}

// parse reads a line of hclog's JSON.
func parse(text []byte) Line {
	l := Line{Received: time.Now(), Text: string(text)}
	if json.Unmarshal(text, &l.Fields) == nil {
		l.Level, _ = l.Fields["@level"].(string)
		l.Message, _ = l.Fields["@message"].(string)
	}
	return l
}

// Len returns the number of lines.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// Since returns the lines from an index on.
func (l *Log) Since(number int) []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number >= len(l.lines) {
		return nil
	}
	return append([]Line(nil), l.lines[number:]...)
}

// Wait waits for the first line from an index on that matches.
func (l *Log) Wait(ctx context.Context, number int, match func(Line) bool) (Line, error) {
	for {
		l.mu.Lock()
		fresh, grown := l.lines[min(number, len(l.lines)):], l.grown
		l.mu.Unlock()
		for _, line := range fresh {
			if match(line) {
				return line, nil
			}
		}
		number += len(fresh)
		select {
		case <-grown:
		case <-ctx.Done():
			return Line{}, fmt.Errorf("wait for a line of the plugin's log: %w%s", context.Cause(ctx), l.quote())
		}
	}
}

// quote returns the end of the log, for an error.
func (l *Log) quote() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return ""
	}
	var out strings.Builder
	out.WriteString("; the plugin's last lines:")
	for _, line := range l.lines[max(0, len(l.lines)-5):] {
		out.WriteString("\n  " + line.Text)
	}
	return out.String()
}
