package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// block is one fenced block of a document.
type block struct {
	place    string // file and line
	language string
	mark     string // the other words of the fence
	text     string
}

// documents are where command blocks stand, from the root of the project.
var documents = []string{"README.md", "SECURITY.md", "CONTRIBUTING.md", "docs/*.md", "e2e/README.md"}

func blocks(t *testing.T, root string) []block {
	t.Helper()
	var all []block
	for _, pattern := range documents {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no document %s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(root, file)
			all = append(all, fenced(name, string(text))...)
		}
	}
	return all
}

// indented matches a command that is in no fence.
var indented = regexp.MustCompile(`^(    |\t)+(\./|make |go (run|test) |apt-get |systemctl |cscli [a-z ]*$|crowdsec-stormshield [a-z ]*$)`)

func fenced(file, text string) []block {
	var all []block
	inside := false
	for n, line := range strings.Split(text, "\n") {
		if !inside && indented.MatchString(line) {
			all = append(all, block{place: fmt.Sprintf("%s:%d", file, n+1), language: "an indented command", text: line})
		}
		switch info, fence := strings.CutPrefix(line, "```"); {
		case fence && inside:
			inside = false
		case fence:
			language, mark, _ := strings.Cut(info, " ")
			all = append(all, block{place: fmt.Sprintf("%s:%d", file, n+1), language: language, mark: mark})
			inside = true
		case inside:
			all[len(all)-1].text += line + "\n"
		}
	}
	return all
}

// This test runs each block against a simulated appliance, with a running plugin and a ban in force. A block that needs
// more (root, CrowdSec, a package) is marked as an example.
func TestCommandBlocksOfTheDocumentsWork(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	gate, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	path := commandInPath(t)
	ran := 0
	for _, b := range blocks(t, root) {
		switch {
		case b.language == "yaml":
			if err := yaml.Unmarshal([]byte(b.text), new(any)); err != nil {
				t.Errorf("%s: %v", b.place, err)
			}
		case b.language == "sh" && b.mark == "":
			ran++
			if err := runBlock(b.text, path, string(gate)); err != nil {
				t.Errorf("%s: %v", b.place, err)
			}
		case b.language != "text" && (b.language != "sh" || b.mark != "example"):
			t.Errorf("%s: a block of %q is neither run nor marked: write sh, sh example, yaml or text", b.place, b.language+" "+b.mark)
		}
	}
	if ran < 5 {
		t.Errorf("only %d blocks were run", ran)
	}
}

// runBlock runs a block without its targets of make. The gate must run those.
func runBlock(text, path, gate string) error {
	var script strings.Builder
	var errs []error
	for line := range strings.Lines(text) {
		if target, ok := strings.CutPrefix(line, "make "); ok {
			target, _, _ = strings.Cut(target, " ")
			runs := regexp.MustCompile(`(?m)^(make |for target in (.* )?)` + regexp.QuoteMeta(strings.TrimSpace(target)) + `( |;|$)`)
			if !runs.MatchString(gate) {
				errs = append(errs, fmt.Errorf("the gate does not run make %s", target))
			}
			continue
		}
		script.WriteString(line)
	}
	cmd := exec.Command("/bin/sh", "-eu", "-c", script.String())
	cmd.Env = append(os.Environ(), "PATH="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		errs = append(errs, fmt.Errorf("%w\n%s", err, out))
	}
	return errors.Join(errs...)
}

// commandInPath returns a PATH with crowdsec-stormshield, as after the installation of a package. Its default
// configuration is that of an appliance with one ban in force.
func commandInPath(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := newScript(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	for _, do := range []func() error{
		func() error { return os.Mkdir(filepath.Join(dir, "state"), 0o700) },
		func() error { return s.pluginCommand([]string{"start"}) },
		func() error { return s.banCommand([]string{"203.0.113.7/32", "1h"}) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// TestMain runs the command under this name.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "program"), 0o700), os.Mkdir(filepath.Join(dir, "bin"), 0o700),
		os.Symlink(program, filepath.Join(dir, "program", "crowdsec-stormshield"))); err != nil {
		t.Fatal(err)
	}
	wrapper := fmt.Sprintf("#!/bin/sh\ncase $1 in check|status|bans|flush|trust) set -- \"$@\" -c %[1]s/notification.yaml ;; esac\nexec %[1]s/program/crowdsec-stormshield \"$@\"\n", dir)
	if err := os.WriteFile(filepath.Join(dir, "bin", "crowdsec-stormshield"), []byte(wrapper), 0o700); err != nil {
		t.Fatal(err)
	}
	// A block with `check --write` takes the monitor right, and a flush at that moment fails and is tried again. So the first flush ends here.
	if out, err := exec.Command(filepath.Join(dir, "bin", "crowdsec-stormshield"), "flush").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "bin") + string(filepath.ListSeparator) + os.Getenv("PATH")
}

// The documents name tests in Go, and scripts in testdata/script.
func TestTestsThatTheDocumentsNameExist(t *testing.T) {
	root := filepath.Join("..", "..")
	known := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == ".cache" {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, name := range regexp.MustCompile(`(?m)^func ((Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			known[name[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		known[filepath.Base(script)] = true
	}
	named := 0
	for _, pattern := range documents {
		files, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+|\\w+\\.txtar)`").FindAllStringSubmatch(string(text), -1) {
				named++
				if !known[name[1]] && !strings.HasSuffix(file, "CONTRIBUTING.md") { // which has names for an example
					t.Errorf("%s names %s, which is no test", file, name[1])
				}
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d tests are named", named)
	}
}
