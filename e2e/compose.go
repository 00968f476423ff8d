package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// containerFiles is the folder of the files that an administrator copies for containers.
var containerFiles = filepath.Join("..", "packaging", "container")

// composition is compose.yaml, with the keys of Compose that the file uses.
type composition struct {
	Services map[string]service
	Volumes  map[string]*struct{}
	Secrets  map[string]struct{ File string }
}

type service struct {
	Image       string
	Command     []string
	Volumes     []string // SOURCE:TARGET or SOURCE:TARGET:ro
	Secrets     []string
	ReadOnly    bool `yaml:"read_only"`
	Tmpfs       []string
	Environment map[string]string
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Restart     string
}

// project is a folder with compose.yaml's files, and its volumes.
type project struct {
	composition
	folder        string // the files that compose.yaml names
	volumes       string // a folder for each volume
	userNamespace string // of all containers, as a path
}

// newProject reads compose.yaml, and makes its volumes. A key that the tests do not know fails the test.
func newProject(t testing.TB) *project {
	t.Helper()
	folder := temporaryFolder(t)
	p := &project{folder: filepath.Join(folder, "project"), volumes: filepath.Join(folder, "volumes"), userNamespace: newUserNamespace(t)}
	decoder := yaml.NewDecoder(bytes.NewReader(containerFile(t, "compose.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&p.composition); err != nil {
		t.Fatalf("compose.yaml: %v", err)
	}
	for name := range p.Volumes {
		p.newVolume(t, name)
	}
	return p
}

func containerFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(containerFiles, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// volume returns the folder of a volume.
func (p *project) volume(name string) string { return filepath.Join(p.volumes, name) }

// newVolume makes a volume as an engine does: empty, and root owns it. It deletes an older one.
func (p *project) newVolume(t testing.TB, name string) {
	t.Helper()
	if err := os.RemoveAll(p.volume(name)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(p.volume(name), 0o755); err != nil {
		t.Fatal(err)
	}
}

// administrator is the user who writes the files of compose.yaml.
const administrator = 1000

// write writes a file that compose.yaml names. Only the administrator can read it.
func (p *project) write(t testing.TB, name, text string) {
	t.Helper()
	path := filepath.Join(p.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, owned := range []string{filepath.Dir(path), path} {
		if err := os.Chown(owned, administrator, administrator); err != nil {
			t.Fatal(err)
		}
	}
}

// mount is a file or folder of this machine in a container. Without a source it is a tmpfs.
type mount struct {
	source, target string
	readOnly       bool
}

// mountsOf returns the mounts of a service, each after the one that it is in.
func (p *project) mountsOf(t testing.TB, name string) []mount {
	t.Helper()
	var mounts []mount
	s := p.Services[name]
	for _, text := range s.Volumes {
		source, target, _ := strings.Cut(text, ":")
		target, readOnly := strings.CutSuffix(target, ":ro")
		if _, named := p.Volumes[source]; named {
			source = p.volume(source)
		} else if strings.HasPrefix(source, "./") {
			source = filepath.Join(p.folder, source)
		} else {
			t.Fatalf("compose.yaml: service %s: %s names no volume, and no file beside compose.yaml", name, text)
		}
		if strings.Contains(target, ":") {
			t.Fatalf("compose.yaml: service %s: the tests know no other option than ro, in %s", name, text)
		}
		mounts = append(mounts, mount{source, target, readOnly})
	}
	for _, secret := range s.Secrets {
		mounts = append(mounts, mount{filepath.Join(p.folder, p.Secrets[secret].File), "/run/secrets/" + secret, true})
	}
	for _, target := range s.Tmpfs {
		mounts = append(mounts, mount{target: target})
	}
	slices.SortFunc(mounts, func(a, b mount) int { return strings.Compare(a.target, b.target) })
	return mounts
}
