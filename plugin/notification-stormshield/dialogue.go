package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// dialogue asks whoever is at the other end: a human at a terminal, or a file
// with an answer on each line.
type dialogue struct {
	in       *bufio.Reader
	out      io.Writer
	terminal int // its descriptor; -1: it is none
}

// Why there is no answer.
var (
	errInputEnded  = errors.New("the input has ended")
	errInterrupted = errors.New("interrupted")
)

// longestAnswer is how much is read in all, in bytes.
const longestAnswer = 1 << 20

func newDialogue(in io.Reader, out io.Writer) *dialogue {
	d := &dialogue{in: bufio.NewReader(io.LimitReader(in, longestAnswer)), out: out, terminal: -1}
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		d.terminal = int(file.Fd())
	}
	return d
}

// human reports that somebody can be asked again.
func (d *dialogue) human() bool { return d.terminal >= 0 }

// ask returns a line. A terminal does not show one that is hidden.
func (d *dialogue) ask(ctx context.Context, prompt string, hidden bool) (string, error) {
	fmt.Fprintf(d.out, "%s: ", prompt)
	if !d.human() || hidden {
		defer fmt.Fprintln(d.out)
	}
	read := d.line
	if hidden && d.human() {
		read = d.hiddenLine
		if state, err := term.GetState(d.terminal); err == nil {
			defer func() { _ = term.Restore(d.terminal, state) }()
		}
	}
	type answer struct {
		text string
		err  error
	}
	given := make(chan answer, 1)
	// Nothing interrupts a read of a terminal: after Ctrl-C it lasts until the
	// process ends, which is at once.
	go func() {
		text, err := read()
		given <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		if d.human() && !hidden {
			fmt.Fprintln(d.out) // behind the ^C
		}
		return "", errInterrupted
	case a := <-given:
		return a.text, a.err
	}
}

func (d *dialogue) line() (string, error) {
	text, err := d.in.ReadString('\n')
	if errors.Is(err, io.EOF) && text != "" {
		err = nil // a last line without its end
	}
	if errors.Is(err, io.EOF) {
		err = errInputEnded
	}
	return strings.TrimRight(text, "\r\n"), err
}

func (d *dialogue) hiddenLine() (string, error) {
	text, err := term.ReadPassword(d.terminal)
	if errors.Is(err, io.EOF) {
		err = errInputEnded
	}
	return string(text), err
}

// confirm asks a question that only a typed yes answers with yes.
func (d *dialogue) confirm(ctx context.Context, question string) (bool, error) {
	for {
		answer, err := d.ask(ctx, question+" [y/N]", false)
		if err != nil {
			return false, err
		}
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return true, nil
		case "", "n", "no":
			return false, nil
		}
		if !d.human() {
			return false, fmt.Errorf("%.20q is neither yes nor no, to: %s", answer, question)
		}
	}
}
