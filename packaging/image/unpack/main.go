// Unpack checks the archive that `make image` made, and unpacks the images in it. The end-to-end tests use it.
//
//	unpack ARCHIVE FOLDER
//
// It compares every digest and size with the contents, in the index, in each image and in each of its layers. For each architecture it
// makes FOLDER/ARCHITECTURE/root with the files of the image, and FOLDER/ARCHITECTURE/image.json with its configuration and the size of its
// compressed layers. Run it as root, so that the files keep their owners.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "unpack:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("an archive and a folder are needed")
	}
	folder, err := os.MkdirTemp("", "unpack-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if out, err := exec.Command("tar", "-xf", arguments[0], "-C", folder).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", arguments[0], err, out)
	}
	index, err := open(folder)
	if err != nil {
		return fmt.Errorf("%s: %w", arguments[0], err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, descriptor := range manifest.Manifests {
		image, err := index.Image(descriptor.Digest)
		if err != nil {
			return err
		}
		if err := unpack(image, filepath.Join(arguments[1], descriptor.Platform.Architecture)); err != nil {
			return fmt.Errorf("%s for %s: %w", arguments[0], descriptor.Platform, err)
		}
	}
	return nil
}

// open checks an OCI image layout, and returns the index of its only image.
func open(folder string) (v1.ImageIndex, error) {
	outer, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return nil, err
	}
	if err := validate.Index(outer); err != nil {
		return nil, err
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("it names %d images, not one", len(manifest.Manifests))
	}
	return outer.ImageIndex(manifest.Manifests[0].Digest)
}

// description is what image.json holds.
type description struct {
	Size   int64 // of the compressed layers, in bytes
	Config *v1.ConfigFile
}

// unpack writes the files of an image, and image.json, into a folder.
func unpack(image v1.Image, folder string) error {
	root := filepath.Join(folder, "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	files := mutate.Extract(image)
	defer files.Close()
	tar := exec.Command("tar", "--numeric-owner", "-xp", "-C", root)
	tar.Stdin = files
	if out, err := tar.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	described, err := describe(image)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(described, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "image.json"), text, 0o644)
}

// describe returns the contents of image.json.
func describe(image v1.Image) (description, error) {
	layers, err := image.Layers()
	if err != nil {
		return description{}, err
	}
	var d description
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			return description{}, err
		}
		d.Size += size
	}
	d.Config, err = image.ConfigFile()
	return d, err
}
