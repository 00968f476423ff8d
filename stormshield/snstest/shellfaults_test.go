package snstest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/stormshield/snstest"
)

func TestToolsCanBeMissingOrReplaced(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"/bin/sh", "/bin/csh"} {
		a := snstest.Start(t, func(o *snstest.Options) {
			o.LoginShell = shell
			o.Tools = map[string]string{"rev": "/bin/echo"}
		})
		client := connectSSH(t, a)
		if r := runSSH(t, client, "rev here; echo x | cksum", nil); r.status != 0 || !strings.HasPrefix(r.out, "here\n") {
			t.Errorf("%s: %+v", shell, r)
		}
		a.SetFaults(func(f *snstest.Faults) { f.MissingTools = []string{"cksum", "awk", "cp"} })
		for _, tool := range []string{"cksum", "awk", "cp"} {
			if r := runSSH(t, client, tool+" /dev/null", nil); r.status == 0 || !strings.Contains(strings.ToLower(r.err), "not found") {
				t.Errorf("%s: %s is there: %+v", shell, tool, r)
			}
		}
		if r := runSSH(t, client, "echo x | sed s/x/y/", nil); r.out != "y\n" {
			t.Errorf("%s: sed is gone too: %+v", shell, r)
		}
	}
}

func TestReadOnlyFolderCannotBeWritten(t *testing.T) {
	a := snstest.Start(t)
	client := connectSSH(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.ReadOnlyDir = true })
	before := string(a.Read(snstest.ObjectFile))
	for _, command := range []string{"echo x > %s/new", "echo x > %s/object", "rm -f %s/object", "mv %s/object %s/other"} {
		command = strings.ReplaceAll(command, "%s", a.ConfigDir())
		if r := runSSH(t, client, command, nil); r.status == 0 {
			t.Errorf("%s succeeded", command)
		}
	}
	if r := runSSH(t, client, "cat "+a.ConfigDir()+"/object", nil); r.out != before {
		t.Error("the file cannot be read, or changed")
	}
	a.SetFaults(func(f *snstest.Faults) { f.ReadOnlyDir = false })
	if r := runSSH(t, client, "echo x > "+a.ConfigDir()+"/new && echo >> "+a.ConfigDir()+"/object", nil); r.status != 0 {
		t.Errorf("still not writable: %+v", r)
	}
}

func TestFullDiskFailsTheWriter(t *testing.T) {
	for _, shell := range []string{"/bin/sh", "/bin/csh"} {
		a := snstest.Start(t, func(o *snstest.Options) { o.LoginShell = shell })
		client := connectSSH(t, a)
		a.SetFaults(func(f *snstest.Faults) { f.DiskFullAfter = 10 << 10 })
		command := "/bin/sh -c 'cat > file; echo status $?'"
		if r := runSSH(t, client, command, strings.NewReader(strings.Repeat("x", 100_000))); strings.Contains(r.out, "status 0") || r.err == "" {
			t.Errorf("%s: %+v", shell, r)
		}
		if info, err := os.Stat(filepath.Join(a.Dir(), "file")); err != nil || info.Size() != 10<<10 {
			t.Errorf("%s: %v, %v", shell, info, err)
		}
		if r := runSSH(t, client, command, strings.NewReader("small")); r.out != "status 0\n" {
			t.Errorf("%s: a small file: %+v", shell, r)
		}
	}
}

func TestSSHMethodsCanBeTakenAway(t *testing.T) {
	a := snstest.Start(t)
	key := userKey(t)
	a.AuthorizeKey(key.PublicKey())
	methods := map[string]ssh.AuthMethod{
		"password": ssh.Password(a.Password()), "interactive": interactive(a.Password()), "key": ssh.PublicKeys(key),
	}
	for _, c := range []struct {
		faults snstest.Faults
		works  string
	}{
		{snstest.Faults{NoPassword: true}, "interactive key"},
		{snstest.Faults{NoKeyboardInteractive: true}, "password key"},
		{snstest.Faults{PublicKeyOnly: true}, "key"},
	} {
		a.SetFaults(func(f *snstest.Faults) { *f = c.faults })
		for name, method := range methods {
			client, err := dialSSH(a, sshConfig(a, method))
			if works := strings.Contains(c.works, name); works != (err == nil) {
				t.Errorf("%+v: %s: %v", c.faults, name, err)
			}
			if err == nil {
				client.Close()
			}
		}
	}
}

func TestLegacyServerNeedsOldAlgorithms(t *testing.T) {
	a := snstest.Start(t)
	modern := a.HostKeyFingerprint()
	a.SetFaults(func(f *snstest.Faults) { f.LegacyAlgorithmsOnly = true })
	if a.HostKeyFingerprint() == modern || a.HostKey().Type() != ssh.KeyAlgoRSA {
		t.Errorf("host key of type %s", a.HostKey().Type())
	}
	if _, err := dialSSH(a, sshConfig(a)); err == nil {
		t.Error("a modern client logged in")
	}
	config := sshConfig(a)
	config.KeyExchanges = []string{ssh.InsecureKeyExchangeDH1SHA1}
	config.Ciphers = []string{ssh.InsecureCipherAES128CBC}
	config.MACs = []string{ssh.HMACSHA1}
	config.HostKeyAlgorithms = []string{ssh.KeyAlgoRSA}
	client, err := dialSSH(a, config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if r := runSSH(t, client, "echo old", nil); r.out != "old\n" {
		t.Errorf("got %+v", r)
	}
	a.SetFaults(func(f *snstest.Faults) { f.LegacyAlgorithmsOnly = false })
	if a.HostKeyFingerprint() != modern {
		t.Error("the modern key did not come back")
	}
}

func TestTheLoginShellCanBeReplacedOrNoisy(t *testing.T) {
	a := snstest.Start(t)
	client := connectSSH(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell = `echo "no: $COMMAND"; exit 4` })
	if r := runSSH(t, client, "echo hello", nil); r.out != "no: echo hello\n" || r.status != 4 {
		t.Errorf("without a shell: %+v", r)
	}
	a.SetFaults(func(f *snstest.Faults) { f.InsteadOfShell, f.ShellPrints = "", "Welcome" })
	if r := runSSH(t, client, "echo hello; exit 3", nil); r.out != "Welcome\nhello\nWelcome\n" || r.err != "Welcome\nWelcome\n" || r.status != 3 {
		t.Errorf("from a noisy shell: %+v", r)
	}
}

func TestAToolCanBeBroken(t *testing.T) {
	t.Parallel()
	a := snstest.Start(t)
	client := connectSSH(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.BrokenTools = map[string]string{"cksum": "echo 0 0"} })
	if r := runSSH(t, client, "echo x | cksum; command -v cksum > /dev/null && echo there", nil); r.out != "0 0\nthere\n" {
		t.Errorf("got %+v", r)
	}
}

func TestTheFileObjectCanBecomeALinkAndAFileAgain(t *testing.T) {
	a := snstest.Start(t)
	path, before := filepath.Join(a.ConfigDir(), "object"), string(a.Read("object"))
	for _, linked := range []bool{true, false, true} {
		a.SetFaults(func(f *snstest.Faults) { f.ObjectIsLink = linked })
		info, err := os.Lstat(path)
		if err != nil || linked != (info.Mode()&os.ModeSymlink != 0) || string(a.Read("object")) != before {
			t.Errorf("linked %t: %v, %v", linked, info, err)
		}
	}
}

func TestSessionsOfOneConnectionCanBeLimited(t *testing.T) {
	a := snstest.Start(t)
	client := connectSSH(t, a)
	a.SetFaults(func(f *snstest.Faults) { f.SSHMaxSessions = 1 })
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.NewSession(); err == nil {
		t.Error("a second session was opened")
	}
	session.Close()
	eventually(t, "the session is free", func() bool {
		next, err := client.NewSession()
		if err == nil {
			next.Close()
		}
		return err == nil
	})
}
