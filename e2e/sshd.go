package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The appliance's account. The hash is that of password, made with `openssl passwd -6 -salt stormshieldsim`.
const (
	user         = "admin"
	password     = "Correct-Horse+7 é"
	passwordHash = "$6$stormshieldsim$kLSMl2K94yrjSWa0dNlr60mPPaF4qyIfpNO4yPjTMso.CkrtmgzeFkOJDbcRKJEHbLanGKNVTiRQUBa5xNLod0"
	userID       = 47110
	// otherUser is an account of the API, with the same password and rights.
	otherUser = "second"
)

// sshd is a private OpenSSH server with its own port, host key and accounts.
type sshd struct {
	*process
	folder, private string // of its log, and of its configuration
	port            int
	hostKey         string // fingerprint, as `ssh-keygen -l` prints it
}

// runSSHDPrivately starts sshd with its own /etc/passwd, shadow and group, and a /run with only the folder that sshd needs.
// The caller makes the namespaces. In its PID namespace sshd is process 1, so its children end with it.
const runSSHDPrivately = `set -e
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/shadow" /etc/shadow
mount --bind "$1/group" /etc/group
mount -t tmpfs -o mode=0755 none /run
mkdir -m 0755 /run/sshd
exec /usr/sbin/sshd -D -e -f "$1/sshd_config"`

// logins counts the logins.
func (s *sshd) logins() int { return s.logged("Accepted password") }

// startSSHD starts a server with one user, who has this login shell and this home and can log in with the password. The folder tools
// comes first in the user's PATH.
func startSSHD(t testing.TB, folder, home, shell, tools string) *sshd {
	t.Helper()
	private := filepath.Join(folder, "sshd")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	s := &sshd{folder: folder, private: private, port: freePort(t)}
	key := filepath.Join(private, "host_key")
	run(t, exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "e2e", "-f", key))
	s.hostKey = strings.Fields(run(t, exec.CommandContext(t.Context(), "ssh-keygen", "-l", "-E", "sha256", "-f", key+".pub")))[1]

	values := map[string]any{
		"User": user, "UID": userID, "Home": home, "Shell": shell, "PasswordHash": passwordHash,
		"Port": s.port, "HostKey": key, "Path": tools + ":/usr/local/bin:/usr/bin:/bin",
	}
	for file, mode := range map[string]os.FileMode{"passwd": 0o644, "group": 0o644, "shadow": 0o600, "sshd_config": 0o600} {
		writeTemplate(t, file, filepath.Join(private, file), mode, values)
	}
	s.Start(t)
	return s
}

// Start starts the server and waits until it listens.
func (s *sshd) Start(t testing.TB) {
	t.Helper()
	const listens = "Server listening on 127.0.0.1"
	before := 0
	if s.process != nil {
		before = s.logged(listens)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", runSSHDPrivately, "sh", s.private)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Cloneflags: syscall.CLONE_NEWPID}
	s.process = start(t, s.folder, "sshd", cmd)
	waitFor(t, 10*time.Second, "sshd listens", func() (bool, string) {
		s.checkRunning(t)
		return s.logged(listens) > before, "its log does not say so"
	})
}

// run runs a short command and returns its standard output.
func run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil {
		t.Fatal(fmt.Errorf("%s: %w\n%s%s", cmd, err, &out, &errors))
	}
	return out.String()
}
