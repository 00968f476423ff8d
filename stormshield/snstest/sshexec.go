package snstest

import (
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// serveChannel answers the requests of one session. It runs the first exec.
func (a *Appliance) serveChannel(ctx context.Context, conn net.Conn, channel ssh.Channel, asked <-chan *ssh.Request, changes *sshSpan) {
	started := false
	for request := range asked {
		if request.Type != "exec" || started {
			// No terminal, no subsystem (SFTP is not known to be there), no environment.
			_ = request.Reply(false, nil)
			continue
		}
		var exec struct{ Command string }
		if err := ssh.Unmarshal(request.Payload, &exec); err != nil {
			_ = request.Reply(false, nil)
			continue
		}
		started = true
		_ = request.Reply(true, nil)
		a.counters.sshCommand(exec.Command)
		a.owned.Go(func() { a.runCommand(ctx, conn, channel, exec.Command, changes) })
	}
	if !started {
		_ = channel.Close()
	}
}

// runCommand runs a command on a channel. A lost connection does not kill the process but ends its standard input, as with
// OpenSSH.
func (a *Appliance) runCommand(ctx context.Context, conn net.Conn, channel ssh.Channel, line string, changes *sshSpan) {
	defer channel.Close()
	if !a.pause(ctx.Done(), func(f *Faults) bool { return f.SSHHang }) {
		return
	}
	f, _ := a.faults.current()
	cmd, err := a.shellCommand(f, line)
	if err == nil {
		var uploaded atomic.Int64
		ended := a.watchFiles(ctx, changes, line)
		err = a.runProcess(cmd, f, conn, channel, &uploaded)
		ended(uploaded.Load())
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		sendStatus(channel, 0)
	case errors.As(err, &exit):
		sendExit(channel, exit)
	default:
		_, _ = io.WriteString(channel.Stderr(), err.Error()+"\n")
		sendStatus(channel, 127)
	}
}

func (a *Appliance) runProcess(cmd *exec.Cmd, f *Faults, conn net.Conn, channel ssh.Channel, uploaded *atomic.Int64) error {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	if err := a.processes.start(cmd, f.ReadOnlyDir); err != nil {
		return err
	}
	a.owned.Go(func() {
		defer stdin.Close()
		a.feed(&uploadCount{stdin, a.counters, uploaded}, channel, conn, f.SSHCutAfterUpload)
	})
	err = a.processes.wait(cmd)
	if state := cmd.ProcessState; state != nil {
		a.counters.count(func(s *Stats) { s.ShellCPU += state.UserTime() + state.SystemTime() })
	}
	// The command did not fail if only the copy of its output did: the client is gone, or a process in the background keeps
	// the output open.
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && cmd.ProcessState != nil && cmd.ProcessState.Success() {
		return nil
	}
	return err
}

// feed copies the client's bytes to the command. It cuts the connection after cut bytes; 0 is never.
func (a *Appliance) feed(upload io.Writer, channel io.Reader, conn net.Conn, cut int) {
	if cut <= 0 {
		_, _ = io.Copy(upload, channel)
		return
	}
	if n, _ := io.CopyN(upload, channel, int64(cut)); n == int64(cut) {
		_ = conn.Close()
	}
}

type uploadCount struct {
	to       io.Writer
	counters *counters
	command  *atomic.Int64 // bytes to this command
}

func (u *uploadCount) Write(p []byte) (int, error) {
	n, err := u.to.Write(p)
	u.command.Add(int64(n))
	u.counters.count(func(s *Stats) { s.SSHUploaded += int64(n) })
	return n, err
}

func sendStatus(channel ssh.Channel, status int) {
	_ = channel.CloseWrite()
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
}

func sendExit(channel ssh.Channel, exit *exec.ExitError) {
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		sendStatus(channel, exit.ExitCode())
		return
	}
	name := strings.TrimPrefix(signalName(status.Signal()), "SIG")
	_ = channel.CloseWrite()
	_, _ = channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
		Signal     string
		CoreDumped bool
		Message    string
		Language   string
	}{name, status.CoreDump(), "", ""}))
}
