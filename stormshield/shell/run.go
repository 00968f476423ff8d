package shell

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// ExitError says that a command ran and failed.
type ExitError struct {
	Status int
	Stderr string // its first line
}

func (e *ExitError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return fmt.Sprintf("exit status %d: %s", e.Status, e.Stderr)
}

// NoShellError says that the login shell ended without running /bin/sh.
type NoShellError struct {
	Status int
	Output string // the first line that it printed
}

func (e *NoShellError) Error() string {
	output := "printed nothing"
	if e.Output != "" {
		output = fmt.Sprintf("printed %q", e.Output)
	}
	return fmt.Sprintf("the login shell did not run /bin/sh: it %s and ended with status %d; "+
		"look at the account's shell on the appliance: nsrpc (CLIShell=1), ForceCommand and nologin run no /bin/sh", output, e.Status)
}

// OutputError says that a command printed more than the limit.
type OutputError struct{ Limit int }

func (e *OutputError) Error() string {
	return fmt.Sprintf("the appliance sent more than %d MiB of output; a file there is far too large", e.Limit>>20)
}

const (
	// largestOutput has room for an object file with 500,000 IPv6 addresses. A line has at most
	// 107 bytes: crowdsec_ip_, 39 digits, =, 39 characters, ",resolve=static" and the line end.
	// That makes 51 MiB. The packets need up to half as much memory again.
	largestOutput = 56 << 20
	// largestStderr is how much of standard error is kept.
	largestStderr = 64 << 10
)

// Run runs a script under /bin/sh with the given standard input, which may be
// nil, and returns its standard output, at most 56 MiB. It returns an [ExitError] if
// the script ends with another status than 0, and a [NoShellError] if the login
// shell did not run it.
func (c *Client) Run(ctx context.Context, script string, stdin io.Reader) ([]byte, error) {
	if strings.ContainsAny(script, "'!\n\r\x00") {
		return nil, fmt.Errorf("script %q cannot pass through every login shell", script)
	}
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	session, err := c.session(ctx)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	defer func() { _ = session.Close() }() // the session has ended, or the connection is broken
	command, marker := framed(script)
	out, complaint := newFrame(marker, largestOutput), newFrame(marker, largestStderr)
	out.overflow = func() { c.conn.Close() } // otherwise the server goes on sending
	ended := make(chan struct{})
	defer close(ended)
	if stdin != nil && !c.framed {
		stdin = &gate{stdin: stdin, open: out.began, ended: ended, timeout: c.conn.timeout}
	}
	session.Stdin, session.Stdout, session.Stderr = stdin, out, complaint
	if c.Permit != nil {
		if err := c.Permit(); err != nil {
			return nil, err
		}
	}
	err = session.Run(command)
	if out.overflowed {
		return nil, &OutputError{out.limit}
	}
	return c.unframe(ctx, out, complaint, err)
}

// unframe returns the output of a command from its frame. The exit status is also in
// the frame, because the login shell may end with another one.
func (c *Client) unframe(ctx context.Context, out, complaint *frame, ran error) ([]byte, error) {
	text, after, ended := out.cut()
	stderr, stderrAfter, _ := complaint.cut()
	if !ended {
		status, known := exitStatus(ran)
		switch {
		case !known:
			return nil, c.broken(ctx, ran)
		case bytes.Contains(out.before, out.marker), bytes.Contains(complaint.before, complaint.marker):
			return nil, c.changed()
		case out.begun:
			return nil, fmt.Errorf("the command on %s stopped before it was finished (exit status %d)", c.host, status)
		}
		return nil, &NoShellError{Status: status, Output: firstLine(out.before, complaint.before)}
	}
	c.framed = true
	line, noise, _ := bytes.Cut(after, []byte("\n"))
	_, noiseAfter, _ := bytes.Cut(stderrAfter, []byte("\n"))
	c.printed = firstLine(out.before, noise, complaint.before, noiseAfter)
	status, err := strconv.Atoi(strings.TrimSpace(string(line)))
	switch {
	case err != nil && ran == nil:
		return nil, c.changed()
	case err != nil:
		return nil, c.broken(ctx, errors.New("the exit status of the command did not arrive"))
	case status != 0:
		return text, &ExitError{Status: status, Stderr: firstLine(stderr)}
	}
	return text, nil
}

// changed returns the error for a frame that arrived in pieces.
func (c *Client) changed() error {
	return fmt.Errorf("the login shell of %s changes what /bin/sh prints; look at the account's shell on the appliance", c.host)
}

// Printed returns the first line of the text that the login shell printed by
// itself around the last command; "" if it printed none.
func (c *Client) Printed() string { return c.printed }

// exitStatus returns the exit status of the login shell, if there is one.
func exitStatus(ran error) (status int, known bool) {
	var exit *ssh.ExitError
	switch {
	case ran == nil:
		return 0, true
	case errors.As(ran, &exit) && exit.Signal() == "":
		return exit.ExitStatus(), true
	}
	return 0, false
}

func (c *Client) broken(ctx context.Context, err error) error {
	var missing *ssh.ExitMissingError
	switch cause := c.conn.failure(); {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(cause, io.EOF):
		err = errors.New("the appliance closed it")
	case cause != nil:
		err = cause
	case errors.As(err, &missing):
		err = errors.New("the command ended without an exit status")
	case err != nil && strings.HasPrefix(err.Error(), "ssh: command "): // then comes the whole command
		return fmt.Errorf("the SSH server of %s refuses to run commands for this account", c.host)
	}
	return fmt.Errorf("the SSH connection to %s broke: %w", c.host, err)
}

// framed returns a command that runs a script and prints a line before and after its
// output. Both lines hold the marker, which framed also returns. The marker ends with
// a product that only a shell computes, so that an echo of the command is no frame.
// The script runs in a subshell, so that the second line always follows. Only digits
// of the command are random, because the log ignores digits when it compares errors.
func framed(script string) (command, marker string) {
	prefix := "f" + strconv.FormatInt(random(1e17, 9e17), 10)
	a, b := random(10_000, 30_000), random(10_000, 30_000) // the product has 31 bits, which every sh can compute
	const program = `m=$1$(($2*$3)); echo $m; echo $m >&2; (eval "$4"); s=$?; echo $m $s; echo $m >&2; exit $s`
	return fmt.Sprintf("/bin/sh -c '%s' sh %s %d %d '%s'", program, prefix, a, b, script), prefix + strconv.FormatInt(a*b, 10)
}

// random returns a number: least, or one of the n-1 above it.
func random(least, n int64) int64 {
	r, _ := rand.Int(rand.Reader, big.NewInt(n)) // never fails
	return least + r.Int64()
}

// firstLine returns the first line of the texts that is not empty, made printable.
func firstLine(texts ...[]byte) string {
	const longest = 200
	for _, text := range texts {
		line, _, _ := bytes.Cut(bytes.TrimSpace(text[:min(len(text), 8*longest)]), []byte("\n"))
		if line = bytes.TrimSpace(line[:min(len(line), longest)]); len(line) > 0 {
			return strings.ToValidUTF8(string(line), "?")
		}
	}
	return ""
}

// gate holds standard input back until /bin/sh runs, because another login shell
// would run the input as commands. After the timeout it ends the input, because such
// a shell may wait for input for ever.
type gate struct {
	stdin       io.Reader
	open, ended <-chan struct{}
	timeout     time.Duration
}

func (g *gate) Read(p []byte) (int, error) {
	giveUp := time.NewTimer(g.timeout)
	defer giveUp.Stop()
	select {
	case <-g.open:
		return g.stdin.Read(p)
	case <-giveUp.C:
	case <-g.ended:
	}
	return 0, io.EOF
}
