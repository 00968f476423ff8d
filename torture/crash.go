package torture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"notification-stormshield/stormshield/snstest"
)

// steps counts the steps of a flush on the appliance: commands of the API, tools
// that the appliance's shell runs, and those that activate the filter rule. It can kill a process right before a step.
type steps struct{ dir string }

// tools are the programs that the plugin's shell program runs.
var tools = []string{"ln", "cp", "tail", "awk", "cksum", "sync", "mv", "rm", "cat", "mkdir"}

// newSteps returns, for each tool, a program that counts a step and then runs the tool.
func newSteps(t *try) (s *steps, programs map[string]string) {
	dir, err := os.MkdirTemp("", "stormshield-steps-")
	t.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, programs = &steps{dir}, map[string]string{}
	for _, tool := range tools {
		program, err := exec.LookPath(tool)
		t.must(err)
		programs[tool] = filepath.Join(dir, tool)
		script := fmt.Sprintf("#!/bin/sh\nprintf . >> %[1]s/steps\n"+
			"if read -r at pid < %[1]s/armed && test $(/usr/bin/wc -c < %[1]s/steps) -eq $at; then kill -9 $pid; fi 2> /dev/null\n"+
			"exec %[2]s \"$@\"\n", dir, program)
		t.must(os.WriteFile(programs[tool], []byte(script), 0o755))
	}
	t.must(s.arm(0, 0))
	return s, programs
}

// arm starts to count from 0. The tool right before whose run the count is at
// kills the process; 0 kills none.
func (s *steps) arm(at, pid int) error {
	if err := os.WriteFile(filepath.Join(s.dir, "steps"), nil, 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "armed"), fmt.Appendf(nil, "%d %d\n", at, pid), 0o666)
}

// add counts a command of the API, and reports whether it is the step to kill at.
func (s *steps) add() bool {
	file, err := os.OpenFile(filepath.Join(s.dir, "steps"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	_, _ = file.WriteString(".")
	info, err := file.Stat()
	if err != nil {
		return false
	}
	var at, pid int
	armed, _ := os.ReadFile(filepath.Join(s.dir, "armed"))
	_, _ = fmt.Sscan(string(armed), &at, &pid)
	return at > 0 && info.Size() == int64(at)
}

// count returns the number of steps since arm.
func (s *steps) count() int {
	info, err := os.Stat(filepath.Join(s.dir, "steps"))
	if err != nil {
		return 0
	}
	return int(info.Size())
}

// newCountedHarness is a new harness that counts the steps of a flush.
func newCountedHarness(t *try) (*harness, *steps) {
	s, programs := newSteps(t)
	h := newHarness(t, func(o *snstest.Options) { o.Tools = programs })
	h.Appliance.SetFaults(func(f *snstest.Faults) {
		f.Answer = func(string) (int, int) {
			if s.add() {
				h.kill()
			}
			return 0, 0
		}
		f.Step = func(command string, _ bool) bool { // before a command and after it
			if slices.Contains(activation, command) && s.add() {
				h.kill()
			}
			return false
		}
	})
	return h, s
}

// About the number of steps of a flush with the files, with a filter rule too, and
// of one over the API.
const (
	lastStep        = 45
	lastStepByRule  = 50
	lastStepOverAPI = 9
)

// crashPoints kills the plugin at a step of a flush, or at any moment of it,
// several times, while bans start and end. The next process may have another way
// to enforce. No ban may be unprotected at the change.
func crashPoints(t *try) {
	h, s := newCountedHarness(t)
	h.maybeRemoveAwk()
	h.reassertEvery(shortestReassert)
	h.ban(long, h.draw(30)...)
	h.settle()
	for range 4 {
		h.crash(s)
		h.settle()
	}
}

func (h *harness) crash(s *steps) {
	atStep := h.random.IntN(3) > 0
	last, added, ending := lastStepOverAPI, h.drawAddresses(1+h.random.IntN(4)), h.drawAddresses(1+h.random.IntN(4))
	if h.random.IntN(2) == 0 {
		last, added, ending = lastStep, h.draw(30+h.random.IntN(4)), h.drawUpTo(20)
	}
	if h.usesRule() {
		last = lastStepByRule // each flush writes the files
	}
	if atStep {
		h.must(s.arm(1+h.random.IntN(last), h.Plugin.PID()))
	}
	h.killed = true // the plugin may be dead from here on
	// A plugin that is killed meanwhile may not answer.
	_ = h.tryBan(long, added...)
	quiet := h.random.IntN(3) == 0
	if !quiet { // otherwise no later change hides what the killed process left to do
		_ = h.tryBan(time.Duration(1+h.random.IntN(4))*time.Second, ending...)
	}
	wait := time.Duration(h.random.IntN(1500)) * time.Millisecond
	if atStep {
		wait += 2 * time.Second
	}
	for end := time.Now().Add(wait); time.Now().Before(end) && !h.Plugin.Exited(); {
		h.pause(2 * time.Millisecond)
	}
	h.kill()
	h.must(s.arm(0, 0))
	h.protect()
	switch {
	case h.byRule:
		h.Configuration.Enforce = ways[h.random.IntN(len(ways))]
	case h.random.IntN(4) == 0: // the next process has other credentials
		h.setWithoutSSH(!h.Configuration.WithoutSSH)
	}
	h.restart()
	if !quiet {
		h.ban(long, h.draw(1)...)
	}
}
