package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// docker is a Docker engine, or one with the same API. At its end a test removes what it made there.
type docker struct {
	about string // name and version
	names string // each volume and each image of the test has this in its name
}

// findDocker returns the engine that the command docker reaches, or why there is none.
func findDocker(t testing.TB) (*docker, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", "info", "--format", "{{.ServerVersion}} on {{.OperatingSystem}}, storage {{.Driver}}")
	var out, reason bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &reason
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("docker info: %w %s", err, bytes.TrimSpace(reason.Bytes()))
	}
	about := strings.TrimSpace(out.String())
	if about == "" || strings.HasPrefix(about, " ") {
		return nil, errors.New("docker info names no version of an engine")
	}
	return &docker{about: about, names: strings.ToLower(filepath.Base(temporaryFolder(t)))}, nil
}

func (d *docker) command(t testing.TB, words ...string) *exec.Cmd {
	return exec.CommandContext(t.Context(), "docker", words...)
}

// run runs a command that must succeed, and returns its output.
func (d *docker) run(t testing.TB, words ...string) string {
	t.Helper()
	return run(t, d.command(t, words...))
}

// remove runs a command at the end of the test.
func (d *docker) remove(t testing.TB, words ...string) {
	t.Helper()
	t.Cleanup(func() {
		if out, err := exec.Command("docker", words...).CombinedOutput(); err != nil {
			t.Errorf("docker %q: %v\n%s", words, err, out)
		}
	})
}

// volume makes a volume and returns its name.
func (d *docker) volume(t testing.TB, kind string) string {
	t.Helper()
	name := d.names + "-" + kind
	d.run(t, "volume", "create", name)
	d.remove(t, "volume", "rm", name)
	return name
}

// image makes an image with a command that gets its name, and returns the name.
func (d *docker) image(t testing.TB, kind string, tag func(name string) *exec.Cmd) string {
	t.Helper()
	name := d.names + "-" + kind + ":test"
	run(t, tag(name))
	d.remove(t, "image", "rm", name)
	return name
}

// loaded matches the names that `docker load` prints.
var loaded = regexp.MustCompile(`[\w./-]*crowdsec-stormshield:[\w.-]+`)

// load loads the archive of `make image`, and returns the name of the image for this machine. An engine that stores images in containerd has
// one name for all architectures. Others have one for each.
func (d *docker) load(t testing.TB, archive string) string {
	t.Helper()
	before := strings.Fields(d.run(t, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"))
	out := d.run(t, "load", "--input", archive)
	t.Logf("docker load: %s", out)
	all := loaded.FindAllString(out, -1)
	for _, name := range all {
		if !slices.Contains(before, name) {
			d.remove(t, "image", "rm", name)
		}
	}
	for _, name := range all {
		if !strings.HasSuffix(name, "-arm64") {
			return name
		}
	}
	t.Fatal("docker load named no image for amd64")
	return ""
}

// runImage runs an image without a network, and returns its output. The words are options, the image and its arguments.
func (d *docker) runImage(t testing.TB, words ...string) string {
	t.Helper()
	return d.run(t, append([]string{"run", "--rm", "--network", "none"}, words...)...)
}

// wantLines fails the test unless the files in a container have these lines: mode, owner and group as numbers, name. The words are options
// and the image, which has Debian's programs.
func (d *docker) wantLines(t testing.TB, words []string, lines ...string) {
	t.Helper()
	words = append(slices.Clone(words), "stat", "--format", "%A %u:%g %n")
	for _, line := range lines {
		words = append(words, line[strings.LastIndex(line, " ")+1:])
	}
	got := strings.Split(strings.TrimSpace(d.runImage(t, words...)), "\n")
	if !slices.Equal(got, lines) {
		t.Errorf("found %q, want %q", got, lines)
	}
}
