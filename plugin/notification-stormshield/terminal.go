package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"notification-stormshield/plugin/health"
)

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// isScreen reports whether a stream is a terminal that knows ANSI's control sequences.
func isScreen(stream any) bool { return isTerminal(stream) && os.Getenv("TERM") != "dumb" }

// Colours of ANSI terminals (ECMA-48, SGR).
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
)

// painter returns a function that colours text for a terminal. For other outputs, and for a user who wants no colours
// (no-color.org), that function returns the text as it is.
func painter(out io.Writer) func(colour, text string) string {
	if !isScreen(out) || os.Getenv("NO_COLOR") != "" {
		return func(_, text string) string { return text }
	}
	return func(colour, text string) string { return "\x1b[" + colour + "m" + text + "\x1b[0m" }
}

// progress shows the present step and the time since the start, in one line of a terminal, until its end. On other
// outputs it shows nothing, because a log wants only the result.
type progress struct {
	out     io.Writer
	started time.Time
	stop    chan struct{}
	stopped sync.WaitGroup

	mu   sync.Mutex
	step string
}

const progressInterval = 200 * time.Millisecond

// showProgress begins. The caller must call end.
func showProgress(out io.Writer) *progress {
	p := &progress{out: out, stop: make(chan struct{}), started: time.Now()}
	if isTerminal(out) {
		p.stopped.Go(p.run)
	}
	return p
}

// show sets the present step.
func (p *progress) show(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step = step
}

func (p *progress) run() {
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			fmt.Fprint(p.out, "\r\x1b[K") // removes the line
			return
		case <-tick.C:
		}
		p.mu.Lock()
		step := p.step
		p.mu.Unlock()
		if step != "" {
			fmt.Fprintf(p.out, "\r\x1b[K%s … %s", step, health.FormatDuration(time.Since(p.started)))
		}
	}
}

// end removes the line.
func (p *progress) end() {
	close(p.stop)
	p.stopped.Wait()
}
