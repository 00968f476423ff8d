package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func folderOf(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func owner(info os.FileInfo) [2]uint32 {
	stat := info.Sys().(*syscall.Stat_t)
	return [2]uint32{stat.Uid, stat.Gid}
}

func TestANewFileIsWholeOrMissing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	unwanted := errors.New("unwanted")
	if err := createFile(path, []byte("one"), func(string) error { return unwanted }); !errors.Is(err, unwanted) || folderOf(t, dir) != "" {
		t.Errorf("refused: %v, %s", err, folderOf(t, dir))
	}
	looked := ""
	look := func(path string) error { looked = textOf(t, path); return nil }
	if err := createFile(path, []byte("one"), look); err != nil || looked != "one" || textOf(t, path) != "one" {
		t.Errorf("placed: %v, looked at %q", err, looked)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := createFile(path, []byte("two"), look); !errors.Is(err, os.ErrExist) || textOf(t, path) != "one" || folderOf(t, dir) != "a.yaml" {
		t.Errorf("over another: %v, %s", err, folderOf(t, dir))
	}
}

func TestAReplacedFileKeepsItsModeAndTheOldFileStays(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "profiles.yaml"), filepath.Join(t.TempDir(), "link.yaml")
	if err := errors.Join(os.WriteFile(path, []byte("was"), 0o600), os.Chmod(path, 0o640), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 65534, 65533); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := replaceFile(link, []byte("was"), []byte("is"))
	if err != nil || textOf(t, path) != "is" || textOf(t, copied) != "was" || filepath.Dir(copied) != dir {
		t.Fatalf("%v, copy %s", err, copied)
	}
	for _, file := range []string{path, copied} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != before.Mode() || owner(info) != owner(before) {
			t.Errorf("%s: %s of %v", file, info.Mode(), owner(info))
		}
	}
	if again, err := replaceFile(path, []byte("is"), []byte("more")); err != nil || again == copied || textOf(t, copied) != "was" {
		t.Errorf("a second copy: %v, %s", err, again)
	}
}

func TestAFileThatAnotherProgramChangedIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "profiles.yaml")
	if err := os.WriteFile(path, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := replaceFile(path, []byte("was"), []byte("is")); err == nil || textOf(t, path) != "theirs" || folderOf(t, dir) != "profiles.yaml" {
		t.Errorf("replaceFile returned %v; the folder has %s", err, folderOf(t, dir))
	}
}
