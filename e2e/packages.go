package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// makeRelease runs make in a source tree, with this umask, into a folder. The words are targets and variables. The error has make's output.
func makeRelease(umask, tree, into string, words ...string) error {
	into, err := filepath.Abs(into)
	if err != nil {
		return err
	}
	cmd := shell(context.Background(), `umask "$1"; shift; exec nice make "$@"`, append([]string{umask, "-C", tree, "DIST=" + into}, words...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// These return the folder with the packages and the image of this tree, and that with packages of a very high version.
var (
	thesePackages = sync.OnceValues(func() (string, error) {
		return cached("dist"), makeRelease("022", "..", cached("dist"), "package", "image")
	})
	higherPackages = sync.OnceValues(func() (string, error) {
		return cached("dist-99"), makeRelease("022", "..", cached("dist-99"), "package", "VERSION=v99.0.0", "ARCHITECTURES=amd64")
	})
)

// packageFile returns the one package whose name matches a pattern.
func packageFile(t testing.TB, packages func() (string, error), pattern string) string {
	t.Helper()
	folder, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d packages are called %s, want one (%v)", len(files), pattern, err)
	}
	return files[0]
}

// unpacked unpacks the archive of an architecture and returns its folder.
func unpacked(t testing.TB, architecture string) string {
	t.Helper()
	folder := temporaryFolder(t)
	archive := packageFile(t, thesePackages, "*_linux_"+architecture+".tar.gz")
	run(t, exec.CommandContext(t.Context(), "tar", "-xzf", archive, "-C", folder))
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 || !strings.HasPrefix(entries[0].Name(), "crowdsec-stormshield-") {
		t.Fatalf("the archive does not hold one folder whose name begins with crowdsec-stormshield-: %v %v", entries, err)
	}
	return filepath.Join(folder, entries[0].Name())
}
