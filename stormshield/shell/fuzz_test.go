package shell_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"notification-stormshield/stormshield/shell"
)

// key returns the same key for the same seed.
func key(t testing.TB, seed byte) ssh.PublicKey {
	t.Helper()
	private := ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), seed))
	k, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A key is refused unless it is in the known_hosts file.
func FuzzAKeyOutsideKnownHostsIsRefused(f *testing.F) {
	strange, known := key(f, 1), key(f, 2)
	text := func(k ssh.PublicKey) string { return base64.StdEncoding.EncodeToString(k.Marshal()) }
	f.Add("192.0.2.1 ssh-ed25519 " + text(known) + "\n")
	f.Add("[192.0.2.1]:22,fw ssh-ed25519 " + text(known) + "\n|1|a|b ssh-ed25519 AAAA\n")
	f.Add("@cert-authority * ssh-ed25519 " + text(known) + "\n@revoked * ssh-ed25519 " + text(strange) + "\n")
	f.Add("* ssh-rsa\n#\n\x00 ,!* \t")
	f.Add("")
	path := filepath.Join(f.TempDir(), "known_hosts")
	f.Fuzz(func(t *testing.T, hosts string) {
		file := path + t.Name()[strings.LastIndexByte(t.Name(), '/')+1:]
		if err := os.WriteFile(file, []byte(hosts), 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(file)
		err := shell.Trusts(shell.Config{KnownHostsPath: file}, "192.0.2.1:22", strange)
		if err == nil && !strings.Contains(hosts, text(strange)) {
			t.Errorf("a key is trusted that is not in %q", hosts)
		}
		if refused := new(shell.HostKeyError); errors.As(err, &refused) && refused.Shown != ssh.FingerprintSHA256(strange) {
			t.Errorf("the error shows another key: %v", err)
		}
	})
}

func TestAKeyOfKnownHostsIsTrustedForItsHostOnly(t *testing.T) {
	known := key(t, 2)
	file := filepath.Join(t.TempDir(), "known_hosts")
	line := "192.0.2.1 ssh-ed25519 " + base64.StdEncoding.EncodeToString(known.Marshal()) + "\n"
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	c := shell.Config{KnownHostsPath: file}
	if err := shell.Trusts(c, "192.0.2.1:22", known); err != nil {
		t.Errorf("the key in the file: %v", err)
	}
	if err := shell.Trusts(c, "192.0.2.1:22", key(t, 1)); err == nil {
		t.Error("another key is trusted")
	}
	if err := shell.Trusts(c, "192.0.2.2:22", known); err == nil {
		t.Error("the key is trusted for another host")
	}
}
