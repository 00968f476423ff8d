package main

import (
	"bytes"
	"fmt"
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
}

func newInstalled(t *testing.T) installed {
	folder := t.TempDir()
	return installed{t, filepath.Join(folder, "plugins", programName), filepath.Join(folder, "volume", "state"), filepath.Join(folder, "stormshield.yaml")}
}

// install installs for the user of this test, and returns the output.
func (i installed) install() string {
	i.Helper()
	var text bytes.Buffer
	self := owner{os.Geteuid(), os.Getegid()}
	o := installOptions{sample: i.sample, state: i.state, stateOwner: "the user of the test"}
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
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		i.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		i.Fatal(err)
	}
}

func (i installed) wantText(path, text string) {
	i.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != text {
		i.Errorf("%s is %.40q, error %v", path, got, err)
	}
}

// wantAlone fails the test if the plugin folder has another file. CrowdSec would take it for a plugin.
func (i installed) wantAlone() {
	i.Helper()
	if entries, err := os.ReadDir(filepath.Dir(i.program)); err != nil || len(entries) != 1 {
		i.Errorf("the plugin folder has %v, error %v", entries, err)
	}
}

func TestInstallPutsTheProgramIntoAFolder(t *testing.T) {
	i := newInstalled(t)
	out := i.install()
	i.wantMode(i.program, 0o551)
	i.wantMode(i.state, 0o700)
	i.wantMode(i.sample, 0o600)
	i.wantAlone()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	i.wantText(i.program, string(self))
	for _, line := range []string{"installed " + i.program, "the state folder " + i.state + " belongs to", "wrote the sample configuration to " + i.sample} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in the output:\n%s", line, out)
		}
	}
}

func TestInstallReplacesTheProgramAndKeepsTheConfiguration(t *testing.T) {
	i := newInstalled(t)
	i.write(i.program, "an older version")
	i.write(i.sample, "written by hand")
	i.write(filepath.Join(i.state, "stormshield_default.db"), "bans")
	out := i.install()
	i.wantMode(i.program, 0o551)
	i.wantMode(i.state, 0o700)
	i.wantAlone()
	i.wantText(i.sample, "written by hand")
	i.wantText(filepath.Join(i.state, "stormshield_default.db"), "bans")
	if !strings.Contains(out, i.sample+" exists, and stays as it is") {
		t.Errorf("the output:\n%s", out)
	}
}

func TestInstallKeepsTheOldProgramIfItFails(t *testing.T) {
	i := newInstalled(t)
	i.write(i.program, "an older version")
	if err := installProgram(failingReader{}, i.program, owner{os.Geteuid(), os.Getegid()}); err == nil {
		t.Error("no error")
	}
	i.wantText(i.program, "an older version")
	i.wantAlone()
}

// failingReader fails after a few bytes.
type failingReader struct{}

func (failingReader) Read(into []byte) (int, error) { return copy(into, "part"), os.ErrInvalid }

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
		"install":                               "install needs a folder",
		"install a b":                           "install takes one argument",
		"install a --state-owner nobody":        noNumbers,
		"install a --state-owner 65534":         noNumbers,
		"install a --state-owner -1:0":          noNumbers,
		"install a --state-owner 99999999999:0": noNumbers,
		"install a --state-owner 65534:65534:1": noNumbers,
		"install a --state-owner 65534:nogroup": noNumbers,
		"install a --state-owner :":             noNumbers,
	} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), strings.Fields(arguments), &stdout, &stderr); status != statusUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: status %d, %s", arguments, status, stderr.String())
		}
	}
}
