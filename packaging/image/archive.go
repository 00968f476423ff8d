package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// write writes the archive to a path.
func (r release) write(path string) error {
	index, err := r.index()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), ".image")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	// Programs read the name of the image in these annotations. containerd reads the second one.
	named := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add: index, Descriptor: v1.Descriptor{Annotations: map[string]string{
			"org.opencontainers.image.ref.name": r.tag(),
			"io.containerd.image.name":          "docker.io/library/" + r.name + ":" + r.tag(),
		}},
	})
	if _, err := layout.Write(folder, named); err != nil {
		return err
	}
	if err := r.writeDockerManifest(folder, index); err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := pack(&archive, folder, r.created); err != nil {
		return err
	}
	return os.WriteFile(path, archive.Bytes(), 0o644)
}

// dockerImage is an entry of manifest.json. Docker reads this file if it does not store images in containerd.
// https://github.com/moby/moby/blob/v28.0.0/image/tarexport/tarexport.go
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// writeDockerManifest writes manifest.json. This file cannot give one name to the images for several architectures, so the tag of each image
// ends in its architecture.
func (r release) writeDockerManifest(folder string, index v1.ImageIndex) error {
	var all []dockerImage
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, descriptor := range manifest.Manifests {
		image, err := index.Image(descriptor.Digest)
		if err != nil {
			return err
		}
		contents, err := image.Manifest()
		if err != nil {
			return err
		}
		entry := dockerImage{
			Config: blobPath(contents.Config.Digest), RepoTags: []string{r.name + ":" + r.tag() + "-" + descriptor.Platform.Architecture},
		}
		for _, layer := range contents.Layers {
			entry.Layers = append(entry.Layers, blobPath(layer.Digest))
		}
		all = append(all, entry)
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "manifest.json"), text, 0o644)
}

// blobPath returns the path of a blob in an OCI image layout.
func blobPath(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }
