package snstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// outputGrace is how long the output of a command is read after it ended, when it left something in the background.
const outputGrace = 5 * time.Second

// processes are the running shells. Each leads a process group.
type processes struct {
	mu      sync.Mutex
	running map[int]struct{}
	ended   bool // no command may start
}

var errPoweredOff = errors.New("the appliance is powered off")

func newProcesses() *processes { return &processes{running: map[int]struct{}{}} }

// start starts a command in a process group of its own. With unprivileged, permissions also apply to root's command.
func (p *processes) start(cmd *exec.Cmd, unprivileged bool) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = outputGrace
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return errPoweredOff
	}
	var err error
	if unprivileged && os.Geteuid() == 0 {
		err = startUnprivileged(cmd)
	} else {
		err = cmd.Start()
	}
	if err == nil {
		p.running[cmd.Process.Pid] = struct{}{}
	}
	return err
}

func (p *processes) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, cmd.Process.Pid)
	return err
}

// end kills every command, and no further one can start.
func (p *processes) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.kill()
}

// KillCommands kills the SSH commands that run, and their children. The connections stay.
func (a *Appliance) KillCommands() { a.processes.kill() }

// kill kills every command and its children.
func (p *processes) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pid := range p.running {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// startUnprivileged starts a command from a thread that has given up the capabilities to override permissions, and
// lets that thread end with its goroutine.
func startUnprivileged(cmd *exec.Cmd) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := dropOverride()
		if err == nil {
			err = cmd.Start()
		}
		result <- err
	}()
	return <-result
}

func dropOverride() error {
	for _, capability := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return fmt.Errorf("give up root's power over permissions: %w", err)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	return nil
}

func signalName(s syscall.Signal) string { return unix.SignalName(s) }
