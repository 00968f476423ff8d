package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// isTerminal reports whether somebody looks at what is written.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Colours, as ANSI writes them (ECMA-48, SGR).
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
)

// painter returns what colours a text for a stream: not at all unless that is
// a terminal, and nobody asked for none (no-color.org).
func painter(out io.Writer) func(colour, text string) string {
	if !isTerminal(out) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return func(_, text string) string { return text }
	}
	return func(colour, text string) string { return "\x1b[" + colour + "m" + text + "\x1b[0m" }
}

// progress shows on a terminal what goes on and for how long, in one line that
// goes again. On anything else it shows nothing: what came of it is one line, as
// a log wants it.
type progress struct {
	out  io.Writer
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	what    string
	started time.Time
}

const progressLook = 200 * time.Millisecond

// showProgress begins. Whoever calls it calls end.
func showProgress(out io.Writer) *progress {
	p := &progress{out: out, stop: make(chan struct{}), started: time.Now()}
	if isTerminal(out) {
		p.done.Go(p.run)
	}
	return p
}

// doing says what goes on from now on.
func (p *progress) doing(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what = what
}

func (p *progress) run() {
	tick := time.NewTicker(progressLook)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			fmt.Fprint(p.out, "\r\x1b[K") // the line is gone
			return
		case <-tick.C:
		}
		p.mu.Lock()
		what := p.what
		p.mu.Unlock()
		if what != "" {
			fmt.Fprintf(p.out, "\r\x1b[K%s … %s", what, span(time.Since(p.started)))
		}
	}
}

// end takes the line away.
func (p *progress) end() {
	close(p.stop)
	p.done.Wait()
}
