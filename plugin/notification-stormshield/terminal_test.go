package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal, and returns the end of the program and the end of the screen.
func terminal(t *testing.T) (program, screen *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return program, screen
}

// see reads until the screen shows a text.
func see(t *testing.T, screen *os.File, want string) string {
	t.Helper()
	var shown strings.Builder
	part := make([]byte, 1024)
	for !strings.Contains(shown.String(), want) {
		n, err := screen.Read(part)
		if err != nil {
			t.Fatalf("%v; shown so far: %q", err, shown.String())
		}
		shown.Write(part[:n])
	}
	return shown.String()
}

func TestOnlyATerminalWithoutNOCOLORGetsColours(t *testing.T) {
	program, _ := terminal(t)
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if got := painter(program)(red, "WRONG"); got != "\x1b[31mWRONG\x1b[0m" {
		t.Errorf("on a terminal: %q", got)
	}
	if got := painter(&bytes.Buffer{})(red, "WRONG"); got != "WRONG" {
		t.Errorf("in a log: %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := painter(program)(red, "WRONG"); got != "WRONG" {
		t.Errorf("with NO_COLOR: %q", got)
	}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	if got := painter(program)(red, "WRONG"); got != "WRONG" {
		t.Errorf("on a dumb terminal: %q", got)
	}
}

func TestProgressRemovesItsLineAtTheEnd(t *testing.T) {
	program, screen := terminal(t)
	p := showProgress(program)
	p.show("writing the files")
	see(t, screen, "writing the files … ")
	p.show("unblocking 100000")
	see(t, screen, "unblocking 100000 … ")
	p.end()
	fmt.Fprint(program, "done")
	if shown := see(t, screen, "done"); !strings.HasSuffix(shown, "\r\x1b[Kdone") {
		t.Errorf("the line is still there: %q", shown)
	}
}

func TestALogGetsNoProgress(t *testing.T) {
	var log bytes.Buffer
	p := showProgress(&log)
	p.show("writing the files")
	p.end() // on a terminal this would take a line away
	if log.Len() > 0 {
		t.Errorf("it holds %q", log.String())
	}
}
