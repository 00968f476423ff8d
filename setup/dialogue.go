package setup

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

// dialogue asks a human at a terminal, or reads one answer from each line of the input.
type dialogue struct {
	in       *bufio.Reader
	out      io.Writer
	terminal int // the descriptor of a terminal; -1: there is none
}

// Why there is no answer.
var (
	errInputEnded  = errors.New("the input has ended")
	errInterrupted = errors.New("interrupted")
)

// longestInput is the limit for all answers together, in bytes.
const longestInput = 1 << 20

func newDialogue(in io.Reader, out io.Writer) *dialogue {
	d := &dialogue{in: bufio.NewReader(io.LimitReader(in, longestInput)), out: out, terminal: -1}
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		d.terminal = int(file.Fd())
	}
	return d
}

// isHuman reports whether a human answers, who can be asked again.
func (d *dialogue) isHuman() bool { return d.terminal >= 0 }

// ask asks for one line. A terminal does not show a hidden answer.
func (d *dialogue) ask(ctx context.Context, prompt string, hidden bool) (string, error) {
	fmt.Fprintf(d.out, "%s: ", prompt)
	if !d.isHuman() || hidden {
		defer fmt.Fprintln(d.out)
	}
	read := d.readLine
	if hidden && d.isHuman() {
		read = d.readHiddenLine
		if state, err := term.GetState(d.terminal); err == nil {
			defer func() { _ = term.Restore(d.terminal, state) }()
		}
	}
	type answer struct {
		text string
		err  error
	}
	given := make(chan answer, 1)
	// Nothing interrupts a read from a terminal. After Ctrl-C it lasts until the process ends, which is at once.
	go func() {
		text, err := read()
		given <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		if d.isHuman() && !hidden {
			fmt.Fprintln(d.out) // behind the ^C
		}
		return "", errInterrupted
	case a := <-given:
		return a.text, a.err
	}
}

func (d *dialogue) readLine() (string, error) {
	text, err := d.in.ReadString('\n')
	if errors.Is(err, io.EOF) && text != "" {
		err = nil // a last line without a line break
	}
	if errors.Is(err, io.EOF) {
		err = errInputEnded
	}
	return strings.TrimRight(text, "\r\n"), err
}

func (d *dialogue) readHiddenLine() (string, error) {
	text, err := term.ReadPassword(d.terminal)
	if errors.Is(err, io.EOF) {
		err = errInputEnded
	}
	return string(text), err
}

// confirm asks a question to which only a typed yes means yes.
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
		if !d.isHuman() {
			return false, fmt.Errorf("%.20q is neither yes nor no, to: %s", answer, question)
		}
	}
}
