package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestLintianFindsNoFaultInTheDebs(t *testing.T) {
	for _, architecture := range []string{"amd64", "arm64"} {
		deb := packageFile(t, thesePackages, "*_"+architecture+".deb")
		cmd := exec.CommandContext(t.Context(), "lintian", "--allow-root", "--fail-on", "error,warning", deb)
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Errorf("lintian: %v", err)
		}
		for _, line := range strings.Split(string(out), "\n") {
			if strings.HasPrefix(line, "E:") || strings.HasPrefix(line, "W:") {
				t.Error(line)
			}
		}
	}
}

// fragment is not a whole script: the plugin puts lines with variables before it. It is short, because the plugin sends it
// over a slow link. Its file names are single words, and an empty redirection makes an empty file.
const fragment = "stormshield/edit/edit.sh"

func TestShellcheckFindsNoFaultInAnyScript(t *testing.T) {
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = ".."
	var scripts []string
	for _, file := range strings.Split(strings.Trim(run(t, list), "\x00"), "\x00") {
		if strings.HasSuffix(file, ".sh") || beginsAsScript(t, filepath.Join("..", file)) {
			scripts = append(scripts, file)
		}
	}
	for _, known := range []string{".ci/run", "e2e/prepare.sh", "packaging/install.sh", "packaging/scripts/postinstall.sh", fragment} {
		if !slices.Contains(scripts, known) {
			t.Errorf("%s is not among the scripts %q", known, scripts)
		}
	}
	for _, script := range scripts {
		arguments := []string{"--external-sources", script}
		if script == fragment {
			arguments = append(arguments, "--shell=sh", "--exclude=SC2154,SC2188,SC2086,SC1007")
		}
		cmd := exec.CommandContext(t.Context(), "shellcheck", arguments...)
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

// beginsAsScript reports whether the first line of a file names a shell.
func beginsAsScript(t testing.TB, path string) bool {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		return false // in the index, and deleted since
	}
	defer file.Close()
	first, _ := bufio.NewReader(file).ReadString('\n')
	return regexp.MustCompile(`^#! ?/(usr/)?bin/(env )?(ba|da)?sh\b`).MatchString(first)
}
