package snstest_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"notification-stormshield/stormshield/snstest"
)

func userKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func interactive(password string) ssh.AuthMethod {
	return ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i := range answers {
			answers[i] = password
		}
		return answers, nil
	})
}

func TestEverySSHMethodLogsIn(t *testing.T) {
	a := snstest.Start(t)
	key := userKey(t)
	a.AuthorizeKey(key.PublicKey())
	for name, method := range map[string]ssh.AuthMethod{
		"password": ssh.Password(a.Password()), "keyboard-interactive": interactive(a.Password()), "key": ssh.PublicKeys(key),
	} {
		client, err := dialSSH(a, sshConfig(a, method))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		client.Close()
	}
	for name, method := range map[string]ssh.AuthMethod{
		"password": ssh.Password("wrong"), "keyboard-interactive": interactive("wrong"), "key": ssh.PublicKeys(userKey(t)),
	} {
		if _, err := dialSSH(a, sshConfig(a, method)); err == nil {
			t.Errorf("wrong %s was accepted", name)
		}
	}
	eventually(t, "3 logins, 3 refused, 6 connections, no lockout", func() bool {
		s := a.Stats()
		return s.SSHAuthOK == 3 && s.SSHAuthFailed == 3 && s.SSHConnections == 6 && s.Lockouts == 0
	})
}

func TestKeysAreRefusedWhileLockedToo(t *testing.T) {
	a := snstest.Start(t)
	key := userKey(t)
	a.AuthorizeKey(key.PublicKey())
	for range 3 {
		_, _ = dialSSH(a, sshConfig(a, ssh.Password("wrong")))
	}
	if _, err := dialSSH(a, sshConfig(a, ssh.PublicKeys(key))); err == nil {
		t.Error("a key was accepted while locked")
	}
}

func TestCommandsRunInARealShell(t *testing.T) {
	a := snstest.Start(t)
	client := connectSSH(t, a)
	r := runSSH(t, client, "pwd; echo oops >&2; exit 7", nil)
	if r.out != a.Dir()+"\n" || r.err != "oops\n" || r.status != 7 {
		t.Errorf("got %+v", r)
	}
	text := strings.Repeat("line\n", 100_000)
	file := a.ConfigDir() + "/upload"
	if r := runSSH(t, client, "cat > "+file+" && wc -c < "+file, strings.NewReader(text)); strings.TrimSpace(r.out) != strconv.Itoa(len(text)) {
		t.Errorf("uploaded %q of %d bytes, %+v", r.out, len(text), r)
	}
	if got := a.Leftovers(); len(got) != 1 || got[0] != "upload" {
		t.Errorf("leftovers %q", got)
	}
	if r := runSSH(t, client, "cat "+file, nil); r.out != text {
		t.Errorf("read %d bytes back", len(r.out))
	}
	if r := runSSH(t, client, "kill -9 $$", nil); r.signal != "KILL" {
		t.Errorf("a killed command gave %+v", r)
	}
	if r := runSSH(t, client, "no-such-command", nil); r.status != 127 {
		t.Errorf("an unknown command gave %+v", r)
	}
	s := a.Stats()
	if s.SSHCommandCount != 5 || s.SSHCommands[3] != "kill -9 $$" || s.SSHUploaded != int64(len(text)) {
		t.Errorf("stats: %d commands, %d uploaded", s.SSHCommandCount, s.SSHUploaded)
	}
	if s.SSHBytesIn < int64(len(text)) || s.SSHBytesOut < int64(len(text)) || s.ShellCPU <= 0 {
		t.Errorf("stats: %d bytes in, %d out, CPU %v", s.SSHBytesIn, s.SSHBytesOut, s.ShellCPU)
	}
	a.ResetStats()
	// The end of the last channel may arrive after the reset.
	if s := a.Stats(); s.SSHCommandCount != 0 || s.SSHBytesIn > 100 || s.ShellCPU != 0 {
		t.Errorf("after a reset: %+v", s)
	}
}

func TestCommandThatReadsNothingEnds(t *testing.T) {
	a := snstest.Start(t)
	client := connectSSH(t, a)
	endless, _ := io.Pipe() // never gives anything
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	stdin, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(stdin, endless) }()
	defer endless.Close()
	if err := session.Run("exit 0"); err != nil {
		t.Error(err)
	}
}

func TestCshCanBeTheLoginShell(t *testing.T) {
	a := snstest.Start(t, func(o *snstest.Options) { o.LoginShell = "/bin/csh" })
	client := connectSSH(t, a)
	if r := runSSH(t, client, `set x = csh; echo $x; /bin/sh -c 'x=sh; echo $x; exit 3'`, nil); r.out != "csh\nsh\n" || r.status != 3 {
		t.Errorf("got %+v", r)
	}
	if r := runSSH(t, client, `x=sh; echo $x`, nil); r.status == 0 {
		t.Errorf("csh took the words of sh: %+v", r)
	}
	if r := runSSH(t, client, `/bin/sh -c 'cat'`, strings.NewReader("text")); r.out != "text" {
		t.Errorf("got %+v", r)
	}
}

func TestMissingLoginShellIsAnError(t *testing.T) {
	_, err := snstest.New(snstest.Options{LoginShell: "/bin/no-such-shell"})
	if err == nil || !strings.Contains(err.Error(), "/bin/no-such-shell") {
		t.Errorf("error %v", err)
	}
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	for _, host := range []string{"0.0.0.0", "192.0.2.1:22", "example.com", "::"} {
		if a, err := snstest.New(snstest.Options{Listen: host}); err == nil {
			t.Errorf("listens on %s", host)
			a.Close()
		}
	}
	a := snstest.Start(t, func(o *snstest.Options) { o.Listen = "127.0.0.2:0" })
	if a.Host() != "127.0.0.2" {
		t.Errorf("host %s", a.Host())
	}
	connect(t, a)
}

func TestTheLineOfKnownHostsMatchesTheHostKey(t *testing.T) {
	a := snstest.Start(t)
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(a.KnownHosts()), 0o600); err != nil {
		t.Fatal(err)
	}
	check, err := knownhosts.New(file)
	if err != nil {
		t.Fatal(err)
	}
	config := sshConfig(a)
	config.HostKeyCallback = check
	client, err := dialSSH(a, config)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	before := a.HostKeyFingerprint()
	a.ChangeHostKey()
	if a.HostKeyFingerprint() == before {
		t.Error("the fingerprint stayed")
	}
	if _, err := dialSSH(a, config); err == nil {
		t.Error("the old key is still shown")
	}
}

func TestAttemptsInOneConnectionAreLimited(t *testing.T) {
	a := snstest.Start(t)
	tries := ssh.RetryableAuthMethod(ssh.PasswordCallback(func() (string, error) { return "wrong", nil }), 10)
	if _, err := dialSSH(a, sshConfig(a, tries)); err == nil {
		t.Fatal("a wrong password logged in")
	}
	if s := a.Stats(); s.CredentialsSeen != 6 {
		t.Errorf("%d attempts, want 6", s.CredentialsSeen)
	}
}

func TestLostConnectionEndsStandardInputAndNotTheCommand(t *testing.T) {
	a := snstest.Start(t)
	client := connectSSH(t, a)
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("cat > half; echo done > after"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, "half"); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(a.Dir(), name))
		return string(text)
	}
	eventually(t, "the text arrives", func() bool { return read("half") == "half" })
	client.Close()
	eventually(t, "the command goes on", func() bool { return read("after") == "done\n" })
}

func TestCloseEndsCommandsThatRun(t *testing.T) {
	a, err := snstest.New(snstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client := connectSSH(t, a)
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("sleep 1000 & echo started; wait"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(a.Dir()); !os.IsNotExist(err) {
		t.Errorf("the temporary disk is still there: %v", err)
	}
	if conn, err := net.Dial("tcp", net.JoinHostPort(a.Host(), strconv.Itoa(a.SSHPort()))); err == nil {
		conn.Close()
		t.Error("SSH still listens")
	}
}

func TestSSHAndTheAPIWorkOverALink(t *testing.T) {
	t.Parallel()
	link := snstest.Link{BitsPerSecond: 20_000_000, RoundTrip: 20 * time.Millisecond}
	a := snstest.Start(t, func(o *snstest.Options) { o.Link = link })
	start := time.Now()
	client, c := connectSSH(t, a), monitor(t, a)
	text := strings.Repeat("text", 50_000)
	if r := runSSH(t, client, "cat", strings.NewReader(text)); r.out != text {
		t.Errorf("%d bytes came back of %d", len(r.out), len(text))
	}
	c.block("192.0.2.1", 60)
	wantSources(t, a, "192.0.2.1/32")
	if took := time.Since(start); took < 12*link.RoundTrip {
		t.Errorf("two logins and two commands took %s", took)
	}
	if s := a.Stats(); s.SSHBytesIn < int64(len(text)) || s.SSHBytesOut < int64(len(text)) {
		t.Errorf("%d bytes in, %d out", s.SSHBytesIn, s.SSHBytesOut)
	}
}

func TestWithoutSSHOnlyTheAPIIsServed(t *testing.T) {
	dir := t.TempDir()
	a := snstest.Start(t, func(o *snstest.Options) { o.NoSSH, o.Dir, o.LoginShell = true, dir, "/nowhere" })
	if a.SSHPort() != 0 || a.KnownHosts() != "" || a.HostKeyFingerprint() != "" {
		t.Error("an appliance without SSH names an SSH server")
	}
	if a.ConfigDir() != filepath.Join(dir, "data/Main/ConfigFiles") {
		t.Errorf("folder %s", a.ConfigDir())
	}
	connect(t, a)
	a.Reboot()
	connect(t, a)
}
