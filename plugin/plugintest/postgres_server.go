package plugintest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startTimeout bounds the start and the end of a server. A start after a crash waits for the processes of the server that crashed.
const startTimeout = time.Minute

// guardScript waits for the end of its standard input, which is the end of the test process. It then stops the server and removes its folder.
const guardScript = `cat >/dev/null
pid=$(head -n 1 data/postmaster.pid 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
tries=0 # a server that nobody waits for may stay as a zombie
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && [ $((tries += 1)) -lt 100 ]; do sleep 0.1; done
cd / && rm -rf "$1"`

// hostAccess says who may log in, and how: https://www.postgresql.org/docs/15/auth-pg-hba-conf.html
const hostAccess = `local all         all           trust
local replication all           trust
host  all         with_password 127.0.0.1/32 scram-sha-256
host  all         all           127.0.0.1/32 trust
`

// serverUser returns the user that the server runs as. nil: this process is not root, and its user does. PostgreSQL refuses to run as root.
func serverUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(u.Uid, 10, 32)
			gid, _ := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("run PostgreSQL: there is no user postgres and no user nobody")
}

// freePort returns a port below those that the kernel gives to clients, so that no client takes it while the server is stopped.
func freePort() (port int, err error) {
	for range 50 {
		port = 20000 + rand.IntN(12000)
		listener, failed := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if failed == nil {
			return port, listener.Close()
		}
		err = failed
	}
	return 0, err
}

// program returns the path of a program of PostgreSQL. Debian keeps them in a folder for each version.
func program(name string) (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return found[len(found)-1], nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("PostgreSQL is not installed (hint: apt-get install postgresql): %w", err)
	}
	return path, nil
}

// program runs a program of PostgreSQL to its end.
func (p *Postgres) program(name string, arguments ...string) error {
	path, err := program(name)
	if err != nil {
		return err
	}
	command := p.command(path, arguments...)
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, text)
	}
	return nil
}

// command makes a command that runs as the server's user, in the cluster's folder. A signal of the terminal does not reach it.
func (p *Postgres) command(path string, arguments ...string) *exec.Cmd {
	command := exec.Command(path, arguments...)
	command.Dir = p.Folder
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: p.as, Setpgid: true}
	return command
}

func (p *Postgres) startGuard() (err error) {
	p.guard = p.command("/bin/sh", "-c", guardScript, "sh", p.Folder)
	if p.alive, err = p.guard.StdinPipe(); err != nil {
		return err
	}
	return p.guard.Start()
}

func (p *Postgres) data() string { return filepath.Join(p.Folder, "data") }

// Start starts the server, and returns when it answers.
func (p *Postgres) Start() error {
	path, err := program("postgres")
	if err != nil {
		return err
	}
	onOff := map[bool]string{true: "on", false: "off"}
	arguments := []string{"-D", p.data()}
	for _, setting := range []string{
		"listen_addresses=" + strings.Join(append([]string{"127.0.0.1"}, p.options.Listen...), ","),
		"port=" + strconv.Itoa(p.Port), "unix_socket_directories=" + p.Folder,
		"fsync=" + onOff[p.options.Fsync], "full_page_writes=" + onOff[p.options.Fsync],
		"max_connections=100", "shared_buffers=32MB", "jit=off",
	} {
		arguments = append(arguments, "-c", setting)
	}
	deadline := time.Now().Add(startTimeout)
	for {
		again, err := p.tryStart(path, arguments, deadline)
		if err == nil || !again || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// tryStart starts the server. again reports whether the processes of a killed server still run, so that the next try may succeed.
func (p *Postgres) tryStart(path string, arguments []string, deadline time.Time) (again bool, err error) {
	log, err := os.OpenFile(filepath.Join(p.Folder, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return false, err
	}
	defer log.Close()
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	server, ended := p.command(path, arguments...), make(chan struct{})
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		return false, err
	}
	go func() {
		_ = server.Wait()
		close(ended)
	}()
	p.server, p.ended = server, ended
	for {
		err := p.Exec("postgres", "SELECT 1")
		if err == nil {
			return false, nil
		}
		select {
		case <-ended:
			p.server = nil
			text := p.Log()
			said := text[min(int(before), len(text)):]
			again := strings.Contains(said, "still in use") || strings.Contains(said, "lock file")
			return again, fmt.Errorf("start PostgreSQL: %s", said)
		case <-time.After(20 * time.Millisecond):
			if time.Now().After(deadline) {
				return false, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), p.Kill())
			}
		}
	}
}

// Stop stops the server as an administrator does: it ends all sessions.
func (p *Postgres) Stop() error { return p.end(syscall.SIGINT) }

// Kill ends all processes of the server, as a loss of power does. No session goes on.
func (p *Postgres) Kill() error {
	if p.server == nil {
		return nil
	}
	all, err := p.signalAll(syscall.SIGKILL)
	if err != nil {
		return err
	}
	for _, pid := range all {
		for deadline := time.Now().Add(startTimeout); isRunning(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				return errors.New("PostgreSQL does not end")
			}
		}
	}
	return p.end(syscall.SIGKILL)
}

// Suspend makes the server silent. Its connections stay, and the kernel goes on accepting new ones. Resume lets it go on.
func (p *Postgres) Suspend() error {
	_, err := p.signalAll(syscall.SIGSTOP)
	return err
}

// Resume ends what Suspend began.
func (p *Postgres) Resume() error {
	_, err := p.signalAll(syscall.SIGCONT)
	return err
}

// signalAll sends a signal to all processes of a server that runs. It returns those of the sessions.
func (p *Postgres) signalAll(signal syscall.Signal) ([]int, error) {
	if p.server == nil {
		return nil, errors.New("PostgreSQL is stopped")
	}
	pid := p.server.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // it starts no further session
		return nil, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, err
	}
	var sessions []int
	for field := range strings.FieldsSeq(string(text)) {
		session, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, session)
		if err := syscall.Kill(session, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return nil, err
		}
	}
	return sessions, syscall.Kill(pid, signal)
}

// isRunning reports whether a process runs. A process that ended may wait for its parent as a zombie.
func isRunning(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// end ends the server by a signal, and waits for its end.
func (p *Postgres) end(signal syscall.Signal) error {
	if p.server == nil {
		return nil
	}
	if err := p.server.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		p.server = nil
		return nil
	case <-time.After(startTimeout):
		return errors.New("PostgreSQL does not end")
	}
}

// Close stops the server and removes its folder.
func (p *Postgres) Close() {
	_ = p.end(syscall.SIGQUIT)
	if p.alive != nil {
		_ = p.alive.Close()
		_ = p.guard.Wait()
	}
}

// Backup copies the cluster as it is now. The server runs. Restore finds the copy by its name.
func (p *Postgres) Backup(name string) error {
	return p.program("pg_basebackup", "--host="+p.Folder, "--port="+strconv.Itoa(p.Port), "--username=postgres",
		"--pgdata="+p.BackupFolder(name), "--checkpoint=fast", "--wal-method=stream", "--no-sync")
}

// BackupFolder returns the folder of a copy.
func (p *Postgres) BackupFolder(name string) string { return filepath.Join(p.Folder, "backup-"+name) }

// Restore stops the server as a crash does, replaces the cluster by a backup, and starts the server. The backup stays.
func (p *Postgres) Restore(name string) error {
	if err := p.end(syscall.SIGQUIT); err != nil {
		return err
	}
	if err := os.RemoveAll(p.data()); err != nil {
		return err
	}
	if text, err := p.command("/bin/cp", "-a", p.BackupFolder(name), p.data()).CombinedOutput(); err != nil {
		return fmt.Errorf("restore PostgreSQL: %w\n%s", err, text)
	}
	return p.Start()
}
