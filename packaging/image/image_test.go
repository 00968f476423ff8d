package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// architectures are in the order of the command line.
var architectures = []string{"amd64", "arm64"}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build makes an archive from new folders, whose files have the time of the test, and returns its path.
func build(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "image.tar")
	arguments := []string{"-name", "test", "-version", "1.2.3", "-commit", "abc", "-created", "1700000000", "-o", path}
	for _, architecture := range architectures {
		root := filepath.Join(folder, architecture)
		check(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
		check(t, os.WriteFile(filepath.Join(root, "etc", "passwd"), []byte("root:x:0:0::/:\n"), 0o644))
		check(t, os.WriteFile(filepath.Join(root, "crowdsec-stormshield"), []byte("for "+architecture), 0o600))
		check(t, os.Chmod(filepath.Join(root, "crowdsec-stormshield"), 0o551))
		arguments = append(arguments, architecture+"="+root)
	}
	check(t, run(arguments))
	return path
}

// unpack unpacks an archive into a folder.
func unpack(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	check(t, err)
	defer file.Close()
	folder := t.TempDir()
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return folder
		}
		check(t, err)
		to := filepath.Join(folder, header.Name)
		if header.Typeflag == tar.TypeDir {
			check(t, os.MkdirAll(to, 0o755))
			continue
		}
		text, err := io.ReadAll(archive)
		check(t, err)
		check(t, os.WriteFile(to, text, 0o644))
	}
}

// images returns the images of an archive by their architectures.
func images(t *testing.T, path string) map[string]v1.Image {
	t.Helper()
	outer, err := layout.ImageIndexFromPath(unpack(t, path))
	check(t, err)
	check(t, validate.Index(outer))
	names, err := outer.IndexManifest()
	check(t, err)
	if len(names.Manifests) != 1 || names.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2.3" {
		t.Fatalf("the archive names %v", names.Manifests)
	}
	index, err := outer.ImageIndex(names.Manifests[0].Digest)
	check(t, err)
	manifest, err := index.IndexManifest()
	check(t, err)
	all := map[string]v1.Image{}
	for _, m := range manifest.Manifests {
		if m.ArtifactType != "" {
			t.Errorf("the index has an artifactType: %v", m)
		}
		all[m.Platform.OS+"/"+m.Platform.Architecture], err = index.Image(m.Digest)
		check(t, err)
	}
	return all
}

func TestTheArchiveHasOneImageForEachArchitecture(t *testing.T) {
	all := images(t, build(t))
	if len(all) != len(architectures) {
		t.Fatalf("%d images", len(all))
	}
	for _, architecture := range architectures {
		image := all["linux/"+architecture]
		if image == nil {
			t.Fatalf("no image for %s", architecture)
		}
		check(t, validate.Image(image))
		config, err := image.ConfigFile()
		check(t, err)
		got := fmt.Sprint(config.OS, config.Architecture, config.Config.Entrypoint, config.Config.Cmd, config.Created.Unix(), len(config.RootFS.DiffIDs))
		if want := fmt.Sprint("linux", architecture, []string{"/crowdsec-stormshield"}, []string{"install", "/plugins"}, 1700000000, 1); got != want {
			t.Errorf("the configuration is %s, want %s", got, want)
		}
		if version := config.Config.Labels["org.opencontainers.image.version"]; version != "1.2.3" {
			t.Errorf("the label of the version is %q", version)
		}
		want := []string{
			"crowdsec-stormshield -r-xr-x--x 0:0 1700000000 for " + architecture,
			"etc drwxr-xr-x 0:0 1700000000 ", "etc/passwd -rw-r--r-- 0:0 1700000000 root:x:0:0::/:\n",
		}
		if got := files(t, image); !slices.Equal(got, want) {
			t.Errorf("the files of %s: %q, want %q", architecture, got, want)
		}
	}
}

// files describes the files of an image.
func files(t *testing.T, image v1.Image) (all []string) {
	t.Helper()
	reader := mutate.Extract(image)
	defer reader.Close()
	for archive := tar.NewReader(reader); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		check(t, err)
		text, err := io.ReadAll(archive)
		check(t, err)
		all = append(all, fmt.Sprintf("%s %s %d:%d %d %s", header.Name, header.FileInfo().Mode(), header.Uid, header.Gid, header.ModTime.Unix(), text))
	}
}

func TestLayersHaveTheTypeOfOCI(t *testing.T) {
	for name, image := range images(t, build(t)) {
		layers, err := image.Layers()
		check(t, err)
		for _, layer := range layers {
			if kind, err := layer.MediaType(); err != nil || kind != types.OCILayer {
				t.Errorf("%s: a layer is %s, error %v", name, kind, err)
			}
		}
	}
}

func TestTheSameFilesGiveTheSameBytes(t *testing.T) {
	one, err := os.ReadFile(build(t))
	check(t, err)
	other, err := os.ReadFile(build(t))
	check(t, err)
	if !bytes.Equal(one, other) {
		t.Error("two builds differ")
	}
}

func TestAMissingArgumentIsAnError(t *testing.T) {
	for arguments, want := range map[string]string{
		"":                                       "needed",
		"-name a -version 1 -o /nowhere/x":       "needed",
		"-name a -version 1 -o /nowhere/x amd64": "is not ARCHITECTURE=FOLDER",
		"-name a -version 1 -o /nowhere/x amd64=/no": "no such file",
	} {
		if err := run(strings.Fields(arguments)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", arguments, err)
		}
	}
}
