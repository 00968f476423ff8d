package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// installed is a folder with what install made.
type installed struct {
	*testing.T
	program, state, sample string
	mounted, secrets       string // folders of secrets: what the container gets, and the copies
}

func newInstalled(t *testing.T) installed {
	folder := t.TempDir()
	i := installed{t, filepath.Join(folder, "plugins", programName), filepath.Join(folder, "volume", "state"), filepath.Join(folder, "stormshield.yaml"),
		filepath.Join(folder, "mounted"), filepath.Join(folder, "secrets")}
	i.write(filepath.Join(i.mounted, "..2026", "api_password"), "secret")
	i.check(os.Symlink("..2026", filepath.Join(i.mounted, "..data")))
	i.check(os.Symlink(filepath.Join("..data", "api_password"), filepath.Join(i.mounted, "api_password")))
	return i
}

func (i installed) check(err error) {
	i.Helper()
	if err != nil {
		i.Fatal(err)
	}
}

// install installs for the user of this test, and returns the output.
func (i installed) install() string {
	i.Helper()
	var text bytes.Buffer
	self := owner{os.Geteuid(), os.Getegid()}
	o := installOptions{sample: i.sample, state: i.state, secrets: i.mounted + ":" + i.secrets, owner: "the user of the test"}
	if err := install(filepath.Dir(i.program), o, self, self, output{&text, &text}); err != nil {
		i.Fatal(err)
	}
	return text.String()
}

func (i installed) wantMode(path string, mode os.FileMode) {
	i.Helper()
	info, err := os.Stat(path)
	if err != nil {
		i.Fatal(err)
	}
	of := info.Sys().(*syscall.Stat_t)
	if got, want := fmt.Sprint(info.Mode().Perm(), of.Uid, of.Gid), fmt.Sprint(mode, os.Geteuid(), os.Getegid()); got != want {
		i.Errorf("%s is %s, want %s", path, got, want)
	}
}

func (i installed) write(path, text string) {
	i.Helper()
	i.check(os.MkdirAll(filepath.Dir(path), 0o755))
	i.check(os.WriteFile(path, []byte(text), 0o755))
}

func (i installed) wantText(path, text string) {
	i.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != text {
		i.Errorf("%s is %.40q, error %v", path, got, err)
	}
}

// wantAlone fails the test if another file is beside a file. CrowdSec would take it for a plugin.
func (i installed) wantAlone(file string) {
	i.Helper()
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		i.Errorf("%s is not alone: %v, error %v", file, entries, err)
	}
}

func TestInstallPutsTheProgramIntoAFolder(t *testing.T) {
	i := newInstalled(t)
	out := i.install()
	i.wantMode(i.program, 0o551)
	i.wantMode(i.state, 0o700)
	i.wantMode(i.sample, 0o600)
	i.wantMode(i.secrets, 0o700)
	i.wantMode(filepath.Join(i.secrets, "api_password"), 0o400)
	i.wantText(filepath.Join(i.secrets, "api_password"), "secret")
	i.wantAlone(i.program)
	i.wantAlone(filepath.Join(i.secrets, "api_password"))
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	i.wantText(i.program, string(self))
	for _, line := range []string{"installed " + i.program, "the state folder " + i.state + " belongs to", "copied secrets to " + i.secrets, "wrote the sample configuration to " + i.sample} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in the output:\n%s", line, out)
		}
	}
}

func TestInstallReplacesTheProgramAndKeepsTheConfiguration(t *testing.T) {
	i := newInstalled(t)
	i.write(i.program, "an older version")
	i.write(i.sample, "written by hand")
	i.write(filepath.Join(i.secrets, "api_password"), "an older secret")
	i.write(filepath.Join(i.state, "stormshield_default.db"), "bans")
	out := i.install()
	i.wantMode(i.program, 0o551)
	i.wantMode(i.state, 0o700)
	i.wantAlone(i.program)
	i.wantText(i.sample, "written by hand")
	i.wantText(filepath.Join(i.secrets, "api_password"), "secret")
	i.wantText(filepath.Join(i.state, "stormshield_default.db"), "bans")
	if !strings.Contains(out, i.sample+" exists, and stays as it is") {
		t.Errorf("the output:\n%s", out)
	}
}

func TestInstallKeepsTheOldProgramIfItFails(t *testing.T) {
	i := newInstalled(t)
	i.write(i.program, "an older version")
	if err := putFile(i.program, failingReader{}, programMode, owner{os.Geteuid(), os.Getegid()}); err == nil {
		t.Error("no error")
	}
	i.wantText(i.program, "an older version")
	i.wantAlone(i.program)
}

// failingReader fails after a few bytes.
type failingReader struct{}

func (failingReader) Read(into []byte) (int, error) { return copy(into, "part"), os.ErrInvalid }

func TestInstallSaysWhichSecretItCannotCopy(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(installed) error
		want    string
	}{
		"no folder": {func(i installed) error { return os.RemoveAll(i.mounted) }, "mounted: no such file or directory"},
		"no secret": {func(i installed) error { return os.Remove(filepath.Join(i.mounted, "api_password")) }, "there is no file"},
		"a folder":  {func(i installed) error { return os.Mkdir(filepath.Join(i.mounted, "keys"), 0o700) }, "keys is not a regular file"},
		"a link to nothing": {func(i installed) error { return os.RemoveAll(filepath.Join(i.mounted, "..2026")) },
			"api_password: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstalled(t)
			i.check(test.prepare(i))
			if _, err := copySecrets(i.mounted, i.secrets, owner{os.Geteuid(), os.Getegid()}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
		})
	}
}

func TestInstallLetsEachUserThroughTheFoldersAboveTheState(t *testing.T) {
	i := newInstalled(t)
	i.install()
	plugins, err := os.Stat(filepath.Dir(i.program)) // its mode depends on the umask
	i.check(err)
	i.wantMode(filepath.Dir(i.state), plugins.Mode().Perm())
}

func TestInstallSaysWhichRightsRootNeeds(t *testing.T) {
	i := newInstalled(t)
	i.state = "/proc/self/task" // the kernel lets nobody change its mode
	self := owner{os.Geteuid(), os.Getegid()}
	for _, o := range []installOptions{{state: i.state}, {secrets: i.mounted + ":" + i.state}} {
		err := install(filepath.Dir(i.program), o, self, self, output{io.Discard, io.Discard})
		if err == nil || !strings.Contains(err.Error(), "hint: root needs the capabilities CHOWN, DAC_OVERRIDE and FOWNER") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if err := withRightsHint(&os.PathError{Op: "chown", Path: "state", Err: syscall.EINVAL}); !strings.Contains(err.Error(), "user namespace has no such user") {
		t.Error(err)
	}
	if err := withRightsHint(syscall.ENOSPC); !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "hint") {
		t.Error(err)
	}
}

func TestInstallIsForRoot(t *testing.T) {
	h, binary := newOpenHarness(t)
	out, err := runAs(t, ordinaryUser(), binary, "install", filepath.Join(h.dir, "plugins"))
	if err == nil || !strings.Contains(out, "only root can install the plugin") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestInstallRefusesWhatItCannotUse(t *testing.T) {
	const noNumbers = "this is not UID:GID in numbers"
	for arguments, want := range map[string]string{
		"install":                          "install needs a folder",
		"install a b":                      "install takes one argument",
		"install a --owner nobody":         noNumbers,
		"install a --owner 65534":          noNumbers,
		"install a --owner -1:0":           noNumbers,
		"install a --owner 99999999999:0":  noNumbers,
		"install a --owner 65534:65534:1":  noNumbers,
		"install a --owner 65534:nogroup":  noNumbers,
		"install a --owner :":              noNumbers,
		"install a --secrets /run/secrets": "this is not FROM:TO",
		"install a --secrets :/secrets":    "this is not FROM:TO",
	} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), strings.Fields(arguments), &stdout, &stderr); status != statusUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: status %d, %s", arguments, status, stderr.String())
		}
	}
}
