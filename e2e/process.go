package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test started. The kernel kills it when the test binary ends.
type process struct {
	name  string
	log   string // file of its output
	cmd   *exec.Cmd
	ended chan struct{}
}

// start starts a program and appends its output to <folder>/<name>.log. The test kills it at its end.
func start(t testing.TB, folder, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, log: filepath.Join(folder, name+".log"), cmd: cmd, ended: make(chan struct{})}
	output, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	// The output goes through a pipe, as under systemd. CrowdSec syncs its standard error while it reloads. On a file that
	// takes so long that CrowdSec kills the plugin that it has just started.
	piped := struct{ io.Writer }{output}
	cmd.Stdout, cmd.Stderr = piped, piped
	cmd.WaitDelay = time.Second
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		// Pdeathsig kills the program when the thread that started it ends. So this goroutine keeps its thread until the program has ended.
		runtime.LockOSThread()
		defer close(p.ended)
		defer func() { _ = output.Close() }()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the log has the reason of the end
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("end of %s:\n%s", filepath.Base(p.log), tail(p.log, 60))
		}
	})
	return p
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("send %s to %s: %v", s, p.name, err)
	}
}

// kill kills the process, unless it has ended, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// checkRunning fails the test if the process has ended.
func (p *process) checkRunning(t testing.TB) {
	t.Helper()
	if p.hasEnded() {
		t.Fatalf("%s ended:\n%s", p.name, tail(p.log, 60))
	}
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// logged counts the lines of the process's output that contain a text.
func (p *process) logged(text string) int {
	output, _ := os.ReadFile(p.log)
	return strings.Count(string(output), text)
}

func tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	for i, line := range all {
		if len(line) > 600 {
			all[i] = line[:600] + fmt.Sprintf("… (%d bytes)", len(line))
		}
	}
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// processesOf returns the processes that run the executable of a path. Zombies run none.
func processesOf(executable string) []int {
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.TrimSuffix(target, " (deleted)") == executable {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// age returns how long a process has run, 0 if it has ended. In proc(5), field 22 of stat counts hundredths of a second
// since boot, and the second field may contain anything between its parentheses.
func age(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	ticks, _ := strconv.ParseFloat(fields[19], 64)
	seconds, _ := strconv.ParseFloat(strings.Fields(string(uptime))[0], 64)
	return time.Duration((seconds - ticks/100) * float64(time.Second))
}

// killAll kills every process of an executable, such as orphans at the end of a test.
func killAll(executable string) {
	for _, pid := range processesOf(executable) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
