package snstest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
)

// firmware is the appliance's own programs, enobject and enfilter. They are scripts on the disk, so that the SSH server of another
// program can run them. A script asks the appliance over a named pipe, and waits for the answer on a pipe of its own.
type firmware struct {
	runs       atomic.Int64 // of the programs
	dir, pipes string
	requests   *os.File // nil after close
}

var firmwareTools = []string{"enobject", "enfilter"}

// toolScript sends its process ID, its name and its arguments. The answer is the exit status and a message.
const toolScript = `#!/bin/sh
PATH='%[3]s'
pipe='%[1]s'/$$
rm -f "$pipe"; mkfifo "$pipe" || exit 1
trap 'rm -f "$pipe"' EXIT
exec 3<>"$pipe"
echo "$$ %[2]s $*" > '%[1]s/requests'
read -r status message <&3
[ -z "$message" ] || echo "%[2]s: $message" >&2
exit "$status"
`

func openFirmware(d *disk) (*firmware, error) {
	f := &firmware{dir: filepath.Join(d.root, "usr", "Firewall", "sbin"), pipes: filepath.Join(d.root, "var", "tools")}
	if err := errors.Join(os.MkdirAll(f.dir, 0o755), os.RemoveAll(f.pipes), os.MkdirAll(f.pipes, 0o755)); err != nil {
		return nil, err
	}
	for _, name := range firmwareTools {
		script := fmt.Sprintf(toolScript, f.pipes, name, os.Getenv("PATH"))
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(script), 0o755); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(f.pipes, "requests")
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		return nil, err
	}
	var err error
	f.requests, err = os.OpenFile(path, os.O_RDWR, 0) // O_RDWR keeps a writer open, so that the pipe never ends
	return f, err
}

func (f *firmware) close() error {
	return errors.Join(f.requests.Close(), os.RemoveAll(f.pipes))
}

// serveTools runs the requests of the tools, one at a time.
func (a *Appliance) serveTools() {
	requests := bufio.NewScanner(a.firmware.requests)
	for requests.Scan() {
		process, line, _ := strings.Cut(requests.Text(), " ")
		a.serveTool(process, strings.TrimSpace(line))
	}
}

// serveTool runs one request, unless its process is gone.
func (a *Appliance) serveTool(process, line string) {
	answer, err := os.OpenFile(filepath.Join(a.firmware.pipes, filepath.Base(process)), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer answer.Close()
	boots := a.boots.Load()
	if a.step(line, false) {
		a.cutSSH()
		return
	}
	if a.boots.Load() != boots {
		return
	}
	a.firmware.runs.Add(1)
	a.power.RLock()
	message := a.runTool(strings.Fields(line))
	a.power.RUnlock()
	if a.step(line, true) {
		a.cutSSH()
	}
	status := 0
	if message != "" {
		status = 1
	}
	fmt.Fprintln(answer, status, message)
}

// runTool runs a program with its options, and returns a message if it fails. The vendor's documents have the options of enobject.
func (a *Appliance) runTool(words []string) (message string) {
	faults, _ := a.faults.current()
	known := map[string][]string{"enobject": {"-a", "--no-log"}, "enfilter": {"-u"}}
	for _, option := range words[1:] {
		if !slices.Contains(known[words[0]], option) {
			return "unknown option " + option
		}
	}
	switch {
	case slices.Contains(faults.RefusedTools, words[0]):
		return "cannot load"
	case words[0] == "enobject":
		a.readObjects()
	case len(words) != 2:
		return "usage: enfilter -u"
	default:
		a.reloadFilter()
	}
	return ""
}

// ToolDir is the folder of the appliance's own programs, enobject and enfilter. It is in the PATH of SSH commands.
func (a *Appliance) ToolDir() string { return a.firmware.dir }
