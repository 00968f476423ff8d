package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"notification-stormshield/config"
)

// secretIn writes a file that only its owner can read.
func secretIn(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecretsAreReadFromTheFirstLineOfTheirFiles(t *testing.T) {
	t.Setenv("HOME", "/nowhere")
	doc := parsed(t, with("lapi:\n  url: http://127.0.0.1:8080\n  api_key_path: "+secretIn(t, "key\n"),
		"  ssh_password: ''", "  ssh_password_path: "+secretIn(t, "a$HOME!b"), "  ssh_private_key_path: /k",
		"  ssh_private_key_passphrase_path: "+secretIn(t, " 'yes' # \r\nanother line"),
		"  api_password: ''", "  api_password_path: "+secretIn(t, "x: ${HOME}\n\n")))
	if err := doc.ReadSecrets(); err != nil {
		t.Fatal(err)
	}
	s := doc.Stormshield
	for got, want := range map[config.Secret]string{doc.LAPI.Key: "key", s.SSHPassword: "a$HOME!b", s.SSHPrivateKeyPassphrase: " 'yes' # ", s.APIPassword: "x: ${HOME}"} {
		if got.Reveal() != want {
			t.Errorf("%q, want %q", got.Reveal(), want)
		}
	}
}

func TestADocumentHasASecretUnlessEachIsInAFile(t *testing.T) {
	inFiles := func(replace ...string) string {
		text := with("lapi:\n  url: http://127.0.0.1:8080\n  api_key_path: /key\nstate_url: postgres://u@h/d\nstate_password_path: /state",
			"  ssh_password: ''", "  ssh_password_path: /ssh", "  api_password: ''", "  api_password_path: /api")
		text = strings.NewReplacer("  ssh_password: ''\n", "", "  api_password: ''\n", "").Replace(text)
		return strings.NewReplacer(replace...).Replace(text)
	}
	for text, want := range map[string]bool{
		inFiles(): false,
		inFiles("api_password_path: /api", "api_password: x"):       true,
		inFiles("ssh_password_path: /ssh", "ssh_password: x"):       true,
		inFiles("api_key_path: /key", "key: x"):                     true,
		inFiles("state_password_path: /state", "state_password: x"): true,
	} {
		doc := parsed(t, text)
		if got := doc.HasSecret(); got != want {
			t.Errorf("%t, want %t, of\n%s", got, want, text)
		}
	}
}

func TestReadSecretsKeepsASecretWithoutAFile(t *testing.T) {
	doc := parsed(t, minimal)
	if err := doc.ReadSecrets(); err != nil || doc.Stormshield.APIPassword.Reveal() != someSecret || doc.Stormshield.SSHPassword.Reveal() != someSecret {
		t.Errorf("ReadSecrets changed a secret, or failed: %v, %+v", err, doc)
	}
}

func TestParseRefusesASecretInTheYAMLAndInAFile(t *testing.T) {
	for key, lines := range map[string][]string{
		"stormshield.ssh_password_path":               {"  ssh_password_path: /s"},
		"stormshield.ssh_private_key_passphrase_path": {"  ssh_private_key_passphrase: hunter2", "  ssh_private_key_passphrase_path: /s"},
		"stormshield.api_password_path":               {"  api_password_path: /s"},
		"lapi.api_key_path":                           {"lapi:\n  url: http://x\n  key: hunter2\n  api_key_path: /s"},
	} {
		_, err := config.ParseOne([]byte(with(lines...)))
		faults := faultsOf(t, err)
		if len(faults) != 1 || faults[0].Key != key || !strings.Contains(faults[0].Problem, "is set, and so is") || strings.Contains(err.Error(), someSecret) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestReadSecretsReportsAFileWithoutASecret(t *testing.T) {
	open, pipe := secretIn(t, "hunter2"), filepath.Join(t.TempDir(), "pipe")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for title, c := range map[string]struct{ path, says string }{
		"missing":             {"/nowhere/secret", "no such file"},
		"empty":               {secretIn(t, ""), "is empty"},
		"empty first line":    {secretIn(t, "\nhunter2"), "is empty"},
		"open to everybody":   {open, "open to every user"},
		"a folder":            {t.TempDir(), "is not a regular file"},
		"a pipe":              {pipe, "is not a regular file"},
		"a control character": {secretIn(t, "hunter2\x00"), "control character"},
		"too long":            {secretIn(t, strings.Repeat("hunter2", 1000)), "longer than"},
	} {
		t.Run(title, func(t *testing.T) {
			doc := parsed(t, with("  api_password: ''", "  api_password_path: "+c.path))
			err := doc.ReadSecrets()
			faults := faultsOf(t, err)
			if len(faults) != 1 || faults[0].Key != "stormshield.api_password_path" || faults[0].Document != "edge" || !strings.Contains(faults[0].Problem, c.says) {
				t.Errorf("error = %v, want %q", err, c.says)
			}
			if !strings.Contains(faults[0].Hint, "chown") || !strings.Contains(faults[0].Hint, c.path) || strings.Contains(err.Error(), someSecret) {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func TestReadSecretsNamesTheUserThatCannotReadAFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	path := secretIn(t, "hunter2")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	doc := parsed(t, with("  api_password: ''", "  api_password_path: "+path))
	if err := doc.ReadSecrets(); err == nil || !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), "let only the user") {
		t.Errorf("error = %v", err)
	}
}

func TestParseRefusesTwoDocumentsWithTheSameKeyFile(t *testing.T) {
	one := with("lapi:\n  url: http://127.0.0.1:8080\n  api_key_path: /key")
	two := strings.NewReplacer("name: edge", "name: other", "192.0.2.1", "192.0.2.2").Replace(one)
	if _, err := config.Parse([]byte(one + "---\n" + two)); err == nil || !strings.Contains(err.Error(), "the Local API takes both for one client") {
		t.Errorf("the same file: %v", err)
	}
	if _, err := config.Parse([]byte(one + "---\n" + strings.Replace(two, "/key", "/other", 1))); err != nil {
		t.Errorf("another file: %v", err)
	}
}
