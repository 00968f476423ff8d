package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// prepare.sh makes these two small Debian 12 systems.
var (
	bareDebian         = cached("debian.tar")
	debianWithCrowdSec = cached("debian-crowdsec.tar")
)

// debian is a Debian 12 in a folder, for installing packages. Programs run in it as root, with the machine's network.
type debian struct{ root string }

// newDebian unpacks a Debian. The test removes it at its end.
func newDebian(t testing.TB, tarball string) *debian {
	t.Helper()
	d := &debian{root: filepath.Join(temporaryFolder(t), "debian")}
	if err := os.Mkdir(d.root, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, exec.CommandContext(t.Context(), "tar", "--numeric-owner", "-xpf", tarball, "-C", d.root))
	t.Cleanup(func() {
		if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), d.root) {
			t.Errorf("something is still mounted in %s (%v):\n%s", d.root, err, mounts)
		}
	})
	return d
}

// enterDebian runs a program in a Debian, in a mount namespace that the caller makes.
const enterDebian = `mount -t proc none "$0/proc" && exec chroot "$0" "$@"`

func (d *debian) command(ctx context.Context, words ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", enterDebian, d.root}, words...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// run runs a command that must succeed, and returns its output.
func (d *debian) run(t testing.TB, words ...string) string {
	t.Helper()
	out, err := d.command(t.Context(), words...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", words, err, out)
	}
	t.Logf("%s\n%s", strings.Join(words, " "), out)
	return string(out)
}

func (d *debian) path(file string) string { return filepath.Join(d.root, file) }

// copyIn copies a file of the machine into the root folder, and returns its path there.
func (d *debian) copyIn(t testing.TB, file string) string {
	t.Helper()
	run(t, exec.CommandContext(t.Context(), "cp", "-r", file, d.root))
	return "/" + filepath.Base(file)
}

func (d *debian) write(t testing.TB, file string, mode os.FileMode, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(d.path(file)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.path(file), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (d *debian) read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(d.path(file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// line describes a file: mode, owner and group as numbers, name, and the target of a link.
func (d *debian) line(t testing.TB, file string) string {
	t.Helper()
	info, err := os.Lstat(d.path(file))
	if errors.Is(err, fs.ErrNotExist) {
		return "missing " + file
	}
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	line := fmt.Sprintf("%s %d:%d %s", info.Mode(), stat.Uid, stat.Gid, file)
	if info.Mode()&fs.ModeSymlink != 0 {
		leads, err := os.Readlink(d.path(file))
		if err != nil {
			t.Fatal(err)
		}
		line += " -> " + leads
	}
	return line
}

// wantLines fails the test for each file that differs from its line. The line "missing FILE" is that of a file that must not exist.
func (d *debian) wantLines(t testing.TB, lines ...string) {
	t.Helper()
	for _, want := range lines {
		words := strings.Fields(want)
		file := words[len(words)-1]
		if len(words) > 3 {
			file = words[2] // of a link
		}
		if got := d.line(t, file); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
}

// allLines returns the line of every file outside /proc.
func (d *debian) allLines(t testing.TB) map[string]string {
	t.Helper()
	lines := map[string]string{}
	err := filepath.WalkDir(d.root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file := strings.TrimPrefix(path, d.root)
		if file == "/proc" {
			return fs.SkipDir
		}
		if file != "" {
			lines[file] = d.line(t, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// checkContains fails the test for each text that is not in an output.
func checkContains(t testing.TB, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Errorf("%q is not in the output:\n%s", text, output)
		}
	}
}

// shell returns a command that runs shell code on this machine, with arguments.
func shell(ctx context.Context, line string, arguments ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "/bin/sh", append([]string{"-euc", line, "sh"}, arguments...)...)
}
